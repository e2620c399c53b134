"""Numbers as they are printed in lines and tables."""


def format_number(value: float) -> str:
    """Four significant digits, and from 1,000 on whole numbers: 0.01235, 12.35, 12,346."""
    return f"{value:.4g}" if value and abs(value) < 1000 else f"{value:,.0f}"
