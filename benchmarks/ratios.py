"""Several ways of doing one thing, timed in alternating rounds, beside each other."""

import statistics

# Of the environment: glibc then keeps the memory that a process has freed.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "1000000000", "MALLOC_MMAP_THRESHOLD_": "1000000000"}


def compare(speeds: dict[str, list[float]], base: str) -> dict[str, list[float]]:
    """Prints the speeds of each way, in tokens per second, and how many times that of `base` the others are.

    Args:
        speeds: of each way one for each round.
        base: one of them.

    Returns:
        Of each other way its ratios to `base`, round by round, rising.
    """
    ratios = {
        way: sorted(a / b for a, b in zip(values, speeds[base], strict=True))
        for way, values in speeds.items()
        if way != base
    }
    width = max(map(len, speeds))
    for way, values in speeds.items():
        print(f"{way:{width}} {statistics.median(values):9,.0f} tokens/s ({min(values):,.0f} to {max(values):,.0f})")
    for way, values in ratios.items():
        print(f"{way} / {base} = {statistics.median(values):.2f} ({values[0]:.2f} to {values[-1]:.2f})")
    return ratios
