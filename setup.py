"""What pyproject.toml cannot say: the reports' viewer is fetched by the build."""

import importlib.util
import warnings
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent


def niivue():
    """The module that fetches, by its file: what the package needs is not here yet."""
    path = HERE / "vnet_jax" / "reports" / "niivue.py"
    spec = importlib.util.spec_from_file_location("niivue", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class BuildWithViewer(build_py):
    """Puts NiiVue's file beside the reports; without it they show pictures alone."""

    def run(self):
        """Fetches, then builds; what cannot be fetched is told and no more."""
        viewer = niivue()
        try:
            viewer.fetch()
        except OSError as error:
            self.warn(
                f"NiiVue was not fetched, reports will have no viewer ({error}); "
                "`python -m vnet_jax.reports.niivue` fetches it later"
            )
        super().run()


# configs/ is installed under another name, which setuptools thinks worth a page.
warnings.filterwarnings("ignore", message="(?s).*Editable installation")
setup(cmdclass={"build_py": BuildWithViewer})
