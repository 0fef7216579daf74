"""The one error for what users can mend."""


class UserError(ValueError):
    """What was given cannot be used. The message says what is wrong, where, and the remedy."""
