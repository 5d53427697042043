"""The one step of the build that pyproject.toml cannot say: the wheel carries the course.

Notebooks, exercises, README and its pictures stand at the checkout's root and go into the wheel as
t2i_course/course, from where `t2i copy-course` takes them.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
CARRIED = ("README.md", "notebooks/*.ipynb", "notebooks/*.md", "exercises/*.ipynb", "assets/*.png")


class BuildWithCourse(build_py):
    """build_py, then the course's files beside the package's."""

    def run(self):
        super().run()
        if self.editable_mode:  # the checkout itself is used
            return
        course = Path(self.build_lib) / "t2i_course" / "course"
        shutil.rmtree(course, ignore_errors=True)
        for path in (path for pattern in CARRIED for path in sorted(ROOT.glob(pattern))):
            target = course / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


setup(cmdclass={"build_py": BuildWithCourse})
