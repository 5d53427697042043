"""Run notebooks and store their outputs: `python notebooks/execute.py NOTEBOOK …`.

The profile is `T2I_PROFILE`, laptop by default. What depends on the moment of the run (times of
execution, versions of the kernel) is not stored, and a progress bar is stored as its last line. Of
a widget its still picture is stored; the figure that follows a training is not.
"""

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

VIEW = "application/vnd.jupyter.widget-view+json"  # of a widget, which nothing answers for later


def stored(outputs: list) -> list:
    """The outputs of a cell that still mean something when the kernel is gone."""
    kept = []
    for output in outputs:
        if output.get("metadata", {}).get("t2i_live"):
            continue
        if VIEW in output.get("data", {}):
            del output["data"][VIEW]
            if output["data"].keys() <= {"text/plain"}:  # the widget's name, or a bar's beginning
                continue
        kept.append(output)
    return kept


def execute(path: Path) -> None:
    """Run one notebook in its own folder and write it back, outputs included."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=3600,
        kernel_name="python3",
        coalesce_streams=True,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = stored(cell.outputs)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        start = time.perf_counter()
        execute(Path(name))
        print(f"{name}: {time.perf_counter() - start:.0f} s, {Path(name).stat().st_size:,} bytes")
