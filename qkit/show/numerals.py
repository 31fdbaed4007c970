"""How numbers are written: with a true minus, a unit, and as many digits as a reader needs."""

from qkit.numeric import Accuracy


def number(x: float) -> str:
    """Write a number with a true minus: integers up to six digits in full, others with three digits."""
    if not abs(x) < float("inf"):
        return "–" if x != x else "∞" if x > 0 else "−∞"
    return (f"{int(x)}" if x == int(x) and abs(x) < 10**6 else f"{x:.3g}").replace("-", "−")


def exact(x: float, decimals: int = 7) -> str:
    """Write a number in full, with as many decimals as it needs, up to seven: 118.4986805, 118.5, 119."""
    return f"{round(float(x), decimals) + 0.0:.{decimals}f}".rstrip("0").rstrip(".").replace("-", "−")


def raised(exponent: str) -> str:
    """Write a number, or a difference of two, as an exponent: ⁻³, ¹⁴⁻⁷."""
    return exponent.translate(str.maketrans("−0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def share(x: float) -> str:
    """Write a share as a percentage: 0 %, 0.4 %, 31 %. Only nothing is 0 % and only all is 100 %."""
    percent = 100 * x
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99 < percent < 100:
        return f"{min(percent, 99.9):.1f} %"
    return f"{percent:.1f} %" if 0 < percent < 9.95 else f"{percent:.0f} %"


def percent(x: float, decimals: int = 2) -> str:
    """Write a share as it was measured, an accuracy above all: 99.13 %."""
    return f"{x:.{decimals}%}".replace("%", " %")


def with_interval(accuracy: Accuracy) -> str:
    """Write an accuracy and its 95 % interval: 99.13 % (98.93 % to 99.30 %)."""
    low, high = map(percent, accuracy.interval)
    return f"{percent(accuracy.value)} ({low} to {high})"


def decibels(x: float) -> str:
    """Write a ratio in decibels; beyond 200 dB only the rounding of float64 itself is left of an error."""
    written = "∞ dB" if x > 200 else f"{round(x, 1) + 0:.1f} dB"  # + 0 makes 0 of −0
    return written.replace("-", "−").replace("inf", "∞")


def size(count: int) -> str:
    """Write a number of bytes as a learner's file manager does: 312 B, 4.6 kB, 1.6 MB."""
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def points(gain: float) -> str:
    """Write a difference of two accuracies, −1 to 1, in percentage points: +1.20, −0.05."""
    return f"{100 * gain:+.2f}".replace("-", "−")


def p_value(p: float) -> str:
    """Write a p-value with two digits, = 0.31, or as a bound: < 0.0001."""
    return f"= {float(f'{p:.2g}'):g}" if p >= 1e-4 else "< 0.0001"
