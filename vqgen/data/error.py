"""The error a user of a dataset can mend."""

from vqgen.errors import UserError


class DataError(UserError):
    """Missing, unreadable or unsuitable data; the message says where and what would do."""
