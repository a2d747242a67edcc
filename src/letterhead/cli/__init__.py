"""The command ``letterhead``: one file a command, and what they share."""
