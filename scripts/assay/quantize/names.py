"""The names of the schemes, which rules read too: nothing is imported here."""

SCHEME_NAMES = ("weights", "dynamic", "static", "gradient", "bf16")
