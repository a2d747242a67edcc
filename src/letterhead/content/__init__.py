"""Python values ⇄ content bytes, one family of types a file (protocol section 3)."""
