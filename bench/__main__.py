"""`python -m bench`: print the name of the machine, then every table."""

from __future__ import annotations

from bench import engine, migrations, page, slots, touches
from bench.report import machine_name


def main() -> None:
    """Run all benchmarks."""
    print(machine_name())
    print(f"Medians of {touches.RUNS} and {slots.RUNS} runs; ratios are taken inside one run, on the same indices.\n")
    print(slots.run() + "\n", flush=True)
    print(touches.run() + "\n", flush=True)
    print(engine.run() + "\n", flush=True)
    print(migrations.run() + "\n", flush=True)
    print(page.run())


if __name__ == "__main__":
    main()
