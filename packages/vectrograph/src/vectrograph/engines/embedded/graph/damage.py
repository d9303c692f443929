"""The one error of files that are derived from the truth and can be built anew."""


class DamagedIndex(Exception):
    """A derived file is missing, foreign, cut short, of another format, or its checksum does not hold: rebuild it."""
