"""``python -m letterhead``, and what the command ``letterhead`` starts."""

from letterhead.cli.main import main

if __name__ == "__main__":
    main()
