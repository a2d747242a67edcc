"""One module for each scheme, named as it is: ``tls://`` would be ``tls.py``. Each has a ``TRANSPORT``."""
