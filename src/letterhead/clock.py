"""The clock that servers and the async client go by: seconds that never go back.

It is looked up here at each use, so that ``letterhead.testing`` can put a clock in its place that stands still. The
blocking client, whose threads wait in the system, goes by the system's.
"""

import time
from collections.abc import Callable

monotonic: Callable[[], float] = time.monotonic
"""The time, in seconds since some moment."""
