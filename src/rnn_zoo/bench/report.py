"""What was measured, as a table, a JSON file and a picture."""

import os
import platform
import re
import statistics
from pathlib import Path
from typing import Any

import torch

from ..inspect.pictures import empty_figure, save_figure
from .pairs import Sizes

WIDTH, BAR = 8.0, 0.28  # inches


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures hold for."""
    return {
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def processor() -> str:
    """Its name, where the system tells it."""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def name_of(about: dict[str, Any]) -> str:
    """A name for files."""
    return re.sub(r"[^a-z0-9]+", "_", title_of(about).lower()).strip("_")


def title_of(about: dict[str, Any]) -> str:
    """The device, or the processor and its threads."""
    if about["device"] != "cpu":
        return about["device"]
    return f"{about['processor']}, {about['threads']} {'thread' if about['threads'] == 1 else 'threads'}"


def lines_of(found: dict[str, Any]) -> list[str]:
    """A comparison as lines of text: speeds, ratios with their spread, what was promised, memory."""
    width = max(map(len, found["per_second"]))
    lines = [found["title"]]
    for way, speed in found["per_second"].items():
        line = f"  {way:{width}} {speed:12,.0f} {found['unit']}/s"
        if way in found["times_as_fast"]:
            ratios = found["times_as_fast"][way]
            line += f"   {statistics.median(ratios):5.2f} x ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            if way in found["promised"]:
                line += f", promised {found['promised'][way]:g}"
        if "bytes" in found:
            line += f"   {found['bytes'][way] / 2**20:,.1f} MiB"
        lines.append(line)
    return lines + [f"  {way}: left out: {why}" for way, why in found["left_out"].items()]


def save_plot(results: list[dict[str, Any]], about: dict[str, Any], path: Path) -> None:
    """A bar for each way: how many times as fast as the base it is, on a scale of powers; the spread as a line."""
    rows = [(found, way) for found in results if found["is_pictured"] for way in found["times_as_fast"]]
    figure, _ = empty_figure()
    figure.set_size_inches(WIDTH, 1.2 + BAR * len(rows))
    axes = figure.add_subplot()
    for place, (found, way) in enumerate(rows):
        ratios = found["times_as_fast"][way]
        middle = statistics.median(ratios)
        color = "C0" if middle >= found["promised"].get(way, 0) else "C3"
        axes.barh(place, middle - 1, left=1, color=color, height=0.7)
        axes.plot([ratios[0], ratios[-1]], [place, place], color="black", lw=1)
        if way in found["promised"]:
            axes.plot([found["promised"][way]], [place], marker="|", color="black", ms=12)
    axes.axvline(1, color="grey", lw=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks(range(len(rows)), [f"{found['title']}: {way} / {found['base']}" for found, way in rows], fontsize=7)
    axes.invert_yaxis()
    axes.set(xlabel="times as fast (bar: median, line: spread, mark: promised)", title=title_of(about))
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    save_figure(path, figure, f"{len(rows)} bars")


def as_json(results: dict[str, list[dict[str, Any]]], sizes: Sizes, about: dict[str, Any]) -> dict[str, Any]:
    sized = {"batch": sizes.batch, "length": sizes.length, "input_size": sizes.input_size, "hidden": sizes.hidden}
    return {"machine": about, "sizes": sized, "rounds": sizes.rounds, "suites": results}
