"""A folder of stand-in programs: a shell script under test sees them and nothing else."""

import shutil
import subprocess
from pathlib import Path

PLAIN = ["sh", "cat", "grep", "head", "readlink", "rm", "mkdir", "printf", "dirname", "touch"]


class Programs:
    """Programs on a PATH of their own, among them the plain ones that every system has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "journal"
        folder.mkdir()
        self.journal.touch()
        for name in PLAIN:
            found = shutil.which(name)
            assert found is not None
            (folder / name).symlink_to(found)

    def add(self, name: str, script: str) -> Path:
        """Add a program: a shell script that also writes its name and arguments to the journal."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!{self.folder}/sh\necho "{name} $*" >> "{self.journal}"\n{script}\n')
        path.chmod(0o755)
        return path

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command that sees these programs alone."""
        return subprocess.run(
            [str(self.folder / command[0]), *command[1:]],
            env={"PATH": str(self.folder), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        """The journal's lines."""
        return self.journal.read_text().splitlines()
