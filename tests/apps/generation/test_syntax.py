"""Files are parsed, never run; what nothing here can parse is told."""

from __future__ import annotations

from referee.apps import AppsRoom
from referee.apps.generation.syntax import check_syntax


async def test_files_that_cannot_be_parsed_are_told_with_their_line(room: AppsRoom) -> None:
    report = await check_syntax(
        room,
        {
            "backend/app.py": "x = 1\ndef broken(:\n",
            "backend/deep.py": "(" * 5_000,
            "frontend/package.json": '{"a": }',
            "frontend/a.js": "const a = ;\n",
            "frontend/good.py": "x = 1\n",
        },
    )

    assert [(problem.path, problem.line) for problem in report.problems] == [
        ("backend/app.py", 2),
        ("backend/deep.py", 1),
        ("frontend/package.json", 1),
        ("frontend/a.js", 1),
    ]


async def test_good_files_have_no_problem_and_types_are_unchecked(room: AppsRoom) -> None:
    report = await check_syntax(
        room,
        {
            "frontend/a.js": 'import x from "./x";\nexport default x;\nawait x();\n',
            "frontend/b.js": "module.exports = 1; with (a) {}\n",
            "frontend/c.ts": "const a: number = 1;\n",
        },
    )

    assert (report.problems, report.unchecked) == ((), ("frontend/c.ts",))


async def test_jsx_is_parsed_where_its_parser_is_installed_and_else_told(room: AppsRoom) -> None:
    files = {
        "frontend/good.jsx": "export default () => <p>Don't {1 + 1} / 2</p>;\n",
        "frontend/bad.jsx": "export default () => <p>;\n",
    }
    report = await check_syntax(room, files)

    told = {*report.unchecked, *(problem.path for problem in report.problems)}
    assert "frontend/bad.jsx" in told
    assert "frontend/good.jsx" not in [problem.path for problem in report.problems]


async def test_code_is_not_run_while_it_is_parsed(room: AppsRoom) -> None:
    report = await check_syntax(room, {"frontend/a.mjs": "process.exit(0);\n", "frontend/z.mjs": "const ;\n"})

    assert [problem.path for problem in report.problems] == ["frontend/z.mjs"]
