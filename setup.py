"""Builds the Cython engine: one source, an extension for each instruction set and precision.

Everything is optional: without a C compiler the package installs, says so, and the Numba backend serves.

``FASTNN_SANITIZE=address,undefined`` builds the engine with those sanitizers, for tests of the kernels: see
CONTRIBUTING.md.
"""

import os
import platform
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FOLDER = "kernels/cython_backend"
# No -ffast-math: NaN and Inf must propagate. The two flags only say that nobody reads errno or the exception flags.
FLAGS = ["-O3", "-g0", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden", "-Wno-unused-function"]
X86 = {
    "v2": ["-march=x86-64-v2"],
    "v3": ["-march=x86-64-v3", "-mprefer-vector-width=256"],
    "v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}
MATRIX_UNIT = ["-mamx-tile", "-mamx-bf16"]
# Results and speed of these builds are nobody's: they stay out of the way of an ordinary one by refusing to install.
SANITIZE = os.environ.get("FASTNN_SANITIZE", "")
if SANITIZE:
    if "--inplace" not in sys.argv:
        sys.exit("FASTNN_SANITIZE is for `python setup.py build_ext --inplace`, in a copy of the source tree")
    FLAGS += ["-O1", "-g1", "-fno-omit-frame-pointer", f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=all"]
on_x86 = platform.machine().lower() in ("x86_64", "amd64") and sys.maxsize > 2**32
VARIANTS = X86 if on_x86 else {"generic": []}
PARTS = sorted(str(path) for kind in ("h", "pxi") for path in Path(FOLDER).glob(f"*.{kind}"))


def extension(name, flags=(), macros=()):
    return Extension(
        f"fastnn.kernels.cython_backend.{name}",
        [f"{FOLDER}/{name}.pyx"],
        include_dirs=[FOLDER],
        depends=PARTS,
        extra_compile_args=FLAGS + list(flags),
        extra_link_args=["-pthread"] + [f"-fsanitize={SANITIZE}"] * bool(SANITIZE),
        define_macros=list(macros),
    )


extensions = [extension("_pool")]
for variant, flags in VARIANTS.items():
    extensions.append(extension(f"_engine_{variant}_f32", flags))
    extensions.append(extension(f"_engine_{variant}_f64", flags, [("FASTNN_DOUBLE", "1")]))
if on_x86:
    extensions.append(extension("_engine_amx_f32", X86["v4"] + MATRIX_UNIT))


class BuildExt(build_ext):
    """Compiles on all cores, and says what a failure means."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or True

    def build_extension(self, ext):
        try:
            super().build_extension(ext)
        except Exception as error:
            print(
                f"fastnn: {ext.name} was not built ({error}). Without it another engine or the Numba backend is used.",
                file=sys.stderr,
            )
            raise


modules = cythonize(
    extensions,
    nthreads=0,
    force=bool(SANITIZE),  # in a copy of the tree, times of files do not say what is newer
    compiler_directives={
        "language_level": 3,
        "boundscheck": False,
        "wraparound": False,
        "cdivision": True,
        "initializedcheck": False,
    },
)
for module in modules:
    module.optional = not SANITIZE  # set here, because cythonize does not pass it on

setup(
    packages=[
        "fastnn",
        "fastnn.callbacks",
        "fastnn.commands",
        "fastnn.datasets",
        "fastnn.keras",
        "fastnn.kernels",
        "fastnn.kernels.cython_backend",
        "fastnn.kernels.numba_backend",
        "fastnn.metrics",
        "fastnn.plot",
        "fastnn.sklearn",
    ],
    package_dir={"fastnn": "fastnn", "fastnn.kernels": "kernels"},
    ext_modules=modules,
    cmdclass={"build_ext": BuildExt},
)
