"Packaging for pip; every value comes from settings.ini, which nbdev reads too."
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

here = Path(__file__).parent
ini = ConfigParser(delimiters=["="])
ini.read(here / "settings.ini")
cfg = ini["DEFAULT"]
extras = {name: cfg[f"{name}_requirements"].split() for name in ("run", "arc", "export", "dev")}
extras["all"] = sum(extras.values(), [])
extras["docs"] = cfg["docs_requirements"].split()  # only `make docs` needs them
package = cfg["lib_path"]


class BuildWithNotebooks(build_py):
    "The notebooks that `arc-vae` executes become part of the wheel; a checkout keeps using nbs/."

    def notebooks(self):
        "Where each comes from, and where it goes."
        to = Path(self.build_lib) / package / "notebooks"
        return {path: to / path.name for path in sorted((here / cfg["nbs_path"]).glob("0[2-5]_*.ipynb"))}

    def run(self):
        super().run()
        if self.editable_mode: return
        for path, copy in self.notebooks().items():
            copy.parent.mkdir(parents=True, exist_ok=True)
            self.copy_file(str(path), str(copy))

    def get_outputs(self, include_bytecode=True):
        return super().get_outputs(include_bytecode) + [str(copy) for copy in self.notebooks().values()]


setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    license="Apache-2.0",
    keywords=cfg["keywords"],
    package_dir={"": "."},  # an editable install is then a plain path, found also from the folder above the checkout
    packages=find_packages(include=[package, f"{package}.*"]),
    package_data={"": ["py.typed", "static/**"]},
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg["requirements"].split(),
    extras_require=extras,
    entry_points={
        "console_scripts": cfg["console_scripts"].split(),
        "nbdev": [f"{cfg['lib_name']}={package}._modidx:d"],
    },
    cmdclass={"build_py": BuildWithNotebooks},
)
