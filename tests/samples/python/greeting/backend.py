"""Makes a wheel of one module, by the interface of PEP 517."""

import zipfile

WHEEL = "greeting-1.0.0-py3-none-any.whl"
INFO = "greeting-1.0.0.dist-info"


def build_wheel(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(f"{folder}/{WHEEL}", "w") as wheel:
        wheel.write("greeting.py")
        wheel.writestr(f"{INFO}/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0.0\n")
        wheel.writestr(f"{INFO}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{INFO}/RECORD", f"greeting.py,,\n{INFO}/METADATA,,\n{INFO}/WHEEL,,\n{INFO}/RECORD,,\n")
    return WHEEL
