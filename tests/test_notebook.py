"""docs/using-recordings.ipynb runs from its first cell to its last."""

from pathlib import Path

import nbclient
import nbformat


def test_the_notebook_runs_and_its_checks_hold(repository: Path) -> None:
    notebook = nbformat.read(  # type: ignore[no-untyped-call]  # it ships no types for this
        repository / "docs" / "using-recordings.ipynb", as_version=4
    )
    nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(repository)}}
    ).execute()
    results = [
        output["data"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "execute_result"
    ]
    checks = [each["text/plain"] for each in results if each["text/plain"] in ("True", "False")]
    assert checks == ["True", "True"]
    assert "A small guest" in results[0]["text/html"]
