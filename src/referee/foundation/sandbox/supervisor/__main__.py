"""Start: ``python -I -S -E <this file> <folder that holds the package referee> [network]``.

The parent packages are entered as empty modules: importing the real ones would
load the server's libraries and cost more than the whole supervisor may.
"""

import sys
import types

if __name__ == "__main__":
    folder, name = sys.argv[1], ""
    for part in ("referee", "foundation", "sandbox"):
        folder, name = f"{folder}/{part}", f"{name}.{part}".lstrip(".")
        package = types.ModuleType(name)
        package.__path__ = [folder]
        sys.modules[name] = package

    if sys.argv[2:] == ["network"]:
        from referee.foundation.sandbox.supervisor.network import hold_network

        hold_network()
    else:
        from referee.foundation.sandbox.supervisor.supervise import main

        main()
