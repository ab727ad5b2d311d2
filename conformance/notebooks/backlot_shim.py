"""A pytest plugin that puts our binary in papermill's place, for papermill's own tests.

BACKLOT is the binary. Translators, parameterised notebooks and paths, the command line and the engine go through it; what
is left of papermill is the tests' own scaffolding.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import yaml

BACKLOT = os.environ["BACKLOT"]


def ask(*words, stdin=None):
    ended = subprocess.run(
        [BACKLOT, "notebook", *words], input=stdin, capture_output=True, text=True, stdin=None if stdin else subprocess.DEVNULL
    )
    return ended.returncode, ended.stdout, ended.stderr


def translator(name, language):
    from papermill import translators

    base = getattr(translators, name)

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list) else value

    def run(parameters, *more):
        # As YAML, since keys that are no texts are lost in JSON.
        text = yaml.safe_dump(plain(parameters), sort_keys=False)
        code, out, err = ask("translate", language, "-y", text, *more)
        if code:
            raise NotImplementedError(err)
        return out

    class Ours(base):
        @classmethod
        def translate(cls, value):
            return run({"v": value}, "--expression").removesuffix("\n")

        @classmethod
        def codify(cls, parameters, comment="Parameters"):
            return run(parameters, "--comment", comment)

        @classmethod
        def comment(cls, text):
            return run({}, "--comment=" + text).removesuffix("\n")

        @classmethod
        def assign(cls, target, expression):
            return run({}, "--assign", target, expression).removesuffix("\n")

        if name == "PythonTranslator":

            @classmethod
            def inspect(cls, cell):
                import nbformat
                from papermill.models import Parameter

                cell = nbformat.from_dict(dict(cell))
                cell.metadata = {"tags": ["parameters"]}
                spec = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python"}}
                notebook = nbformat.v4.new_notebook(cells=[cell], metadata=spec)
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder, "n.ipynb")
                    path.write_text(nbformat.writes(notebook))
                    code, out, err = ask("run", str(path), "--inspect")
                if code:
                    raise RuntimeError(err)
                return [Parameter(**one) for one in json.loads(out).values()]

    Ours.__name__ = name
    setattr(translators, name, Ours)


def parameterize_path(path, parameters):
    import nbformat
    from papermill.exceptions import PapermillMissingParameterException

    if path is None or isinstance(path, nbformat.NotebookNode):
        return path
    code, out, err = ask("path", path, "-j", json.dumps(parameters or {}))
    if code:
        raise PapermillMissingParameterException(err.removeprefix("error: ").split(";")[0].strip())
    return out.removesuffix("\n")


def parameterize_notebook(nb, parameters, report_mode=False, comment="Parameters", kernel_name=None, language=None, engine_name=None):
    from papermill.iorw import load_notebook_node, write_ipynb

    with tempfile.TemporaryDirectory() as folder:
        source, target = str(Path(folder, "in.ipynb")), str(Path(folder, "out.ipynb"))
        write_ipynb(nb, source)
        words = ["run", source, target, "--prepare-only", "-j", json.dumps(parameters)]
        words += ["-k", kernel_name] if kernel_name else []
        words += ["-l", language] if language else []
        words += ["--report-mode"] if report_mode else []
        code, _, err = ask(*words)
        if code:
            raise RuntimeError(err)
        return load_notebook_node(target)


def engine():
    from papermill.engines import Engine

    class Backlot(Engine):
        """Stock papermill prepares and judges the notebook; our binary runs it."""

        @classmethod
        def execute_managed_notebook(
            cls, nb_man, kernel_name, log_output=False, stdout_file=None, stderr_file=None, start_timeout=60, execution_timeout=None, **kwargs
        ):
            import nbformat
            from nbclient.exceptions import CellTimeoutError, DeadKernelError

            with tempfile.TemporaryDirectory() as folder:
                source, target = Path(folder, "in.ipynb"), Path(folder, "out.ipynb")
                source.write_text(nbformat.writes(nb_man.nb))
                words = ["run", str(source), str(target), "-k", kernel_name, "--start-timeout", str(start_timeout)]
                words += ["--execution-timeout", str(execution_timeout)] if execution_timeout else []
                copies = {"stdout": stdout_file, "stderr": stderr_file}
                for name, copy in copies.items():
                    if copy:
                        words += [f"--{name}-file", str(Path(folder, name))]
                code, _, err = ask(*words)
                for name, copy in copies.items():
                    if copy:
                        copy.write(Path(folder, name).read_text())
                if target.exists():
                    result = nbformat.read(target, as_version=4)
                    cells = [c for c in result.cells if "papermill-error-cell-tag" not in c.metadata.get("tags", [])]
                    record = nb_man.nb.metadata.papermill
                    nb_man.nb.cells = cells
                    nb_man.nb.metadata = result.metadata
                    nb_man.nb.metadata.papermill = {**result.metadata.papermill, **{k: record[k] for k in ("input_path", "output_path", "parameters") if k in record}}
                if code == 138:
                    raise DeadKernelError(err)
                if "timed out" in err:
                    raise CellTimeoutError(err)
                if code and not target.exists():
                    raise RuntimeError(err)

    return Backlot


def pytest_configure(config):
    from papermill import engines, parameterize

    languages = {
        "PythonTranslator": "python", "RTranslator": "R", "ScalaTranslator": "scala", "JuliaTranslator": "julia",
        "MatlabTranslator": "matlab", "CSharpTranslator": ".net-csharp", "FSharpTranslator": ".net-fsharp",
        "PowershellTranslator": ".net-powershell", "BashTranslator": "bash",
    }
    for name, language in languages.items():
        translator(name, language)
    parts = os.environ.get("BACKLOT_SHIM", "")
    if "parameterize" in parts:
        parameterize.parameterize_notebook = parameterize_notebook
        parameterize.parameterize_path = parameterize_path
    if "engine" in parts:
        engines.papermill_engines.register(None, engine())


def pytest_collection_modifyitems(config, items):
    # The command-line tests start papermill through one function of their module.
    for item in items:
        module = getattr(item, "module", None)
        if module is not None and hasattr(module, "papermill_cli"):
            module.papermill_cli = lambda args=None, **kwargs: subprocess.Popen([BACKLOT, "notebook", "run", *(args or [])], **kwargs)
