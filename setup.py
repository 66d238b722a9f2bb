from setuptools import setup

setup(
    packages=["fastnn", "fastnn.datasets", "fastnn.kernels"],
    package_dir={"fastnn": "fastnn", "fastnn.kernels": "kernels"},
)
