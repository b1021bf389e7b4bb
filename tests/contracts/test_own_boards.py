"""A board of one's own: what its folder may hold, and what one is told if it is wrong."""

import os
import shutil

import pytest
from qdeploy import boards, crossbuild, generate
from qdeploy.boards import _sources
from qdeploy.crossbuild._process import ToolFailedError
from qdeploy.diagnostics import InputError
from qdeploy.ir import SourceTree
from qdeploy.resources import folder
from support import devices

EDIT = "    qd_systick_init();\n}\n"
"""The end of qd_board_init()."""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A copy of an emulated board, named by a relative path as a user would."""
    shutil.copytree(folder("boards") / "netduinoplus2", tmp_path / "mine" / "board")
    monkeypatch.chdir(tmp_path / "mine")
    return tmp_path / "mine" / "board"


def edit(home, old, new):
    text = (home / "board.c").read_text()
    assert old in text
    (home / "board.c").write_text(text.replace(old, new, 1))


def add(home, **files):
    """Write files; `vendor__uart_h` stands for vendor/uart.h."""
    for key, content in files.items():
        stem, _, suffix = key.replace("__", "/").rpartition("_")
        path = home / f"{stem}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def built(compiler):
    return devices.build(devices.program(3), boards.load("./board"), compiler)


def refused(compiler):
    with pytest.raises(InputError) as caught:
        built(compiler)
    return caught.value


def line_of(home, text, name="board.c"):
    lines = (home / name).read_text().splitlines()
    return 1 + next(number for number, line in enumerate(lines) if text in line)


both = pytest.mark.parametrize("compiler", devices.ARM_COMPILERS)

MISTAKES = {
    "an unknown function": (
        EDIT,
        f"    qd_usart_initt(QD_UART_BASE, 1u, 2u);\n{EDIT}",
        "qd_usart_initt(",
        "qd_usart_initt",
    ),
    "a missing semicolon": (EDIT, f"    (void)0\n{EDIT}", "(void)0", "expected ';'"),
    "a missing prototype": (
        "void qd_board_init",
        "int helper(void)\n{\n    return 1;\n}\n\nvoid qd_board_init",
        "int helper",
        "prototype",
    ),
    "a warning": (EDIT, f"    const int x = 1;\n{EDIT}", "const int x", "unused variable 'x'"),
    "a header that is not there": (
        '#include "qd_core.h"',
        '#include "qd_core.h"\n#include "my_uart.h"',
        "my_uart.h",
        "my_uart.h",
    ),
    "an #error": ("void qd_board_init", '#error "\x1b[2Jno"\nvoid qd_board_init', "#error", "no"),
}


@both
@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_does_not_compile_is_told_at_its_line(home, mistake, compiler):
    old, new, there, says = MISTAKES[mistake]
    edit(home, old, new)
    line = line_of(home, there)
    error = refused(compiler)
    head, *lines = error.what.splitlines()
    assert head == "board.c does not compile"
    # A semicolon is missed where something else comes: gcc names the one line, clang may the other.
    assert str(error.where) in (f"board/board.c:{line}", f"board/board.c:{line + 1}")
    assert any(says in said for said in lines)
    assert any("board/board.c" in said for said in lines)
    assert 0 < len(lines) <= 13
    assert "\x1b" not in error.what
    assert "qdeploy-build" not in str(error)
    assert error.fix


@both
def test_an_error_inside_a_header_of_ours_is_told_where_it_is_included(home, compiler):
    edit(
        home, '#include "qd_uart_stm32f4.h"', '#define QD_REGISTER_H\n#include "qd_uart_stm32f4.h"'
    )
    edit(home, '#include "qd_core.h"', "")
    edit(home, '#include "qd_counter_systick.h"', "")
    error = refused(compiler)
    assert error.what.startswith("board.c does not compile")
    assert str(error.where).startswith("board/board.c:")


def test_a_board_that_runs_anothers_image_is_told_of_that_ones_file(home):
    other = home.parent / "other"
    other.mkdir()
    (other / "board.toml").write_text(
        'title = "x"\nimage_of = "board"\nverified = "build"\nhow = "x"\n'
    )
    edit(home, EDIT, f"    nonsense();\n{EDIT}")
    with pytest.raises(InputError) as caught:
        devices.build(devices.program(3), boards.load("./other"))
    assert str(caught.value.where) == f"board/board.c:{line_of(home, 'nonsense')}"


def test_a_folder_elsewhere_is_named_in_full(home, tmp_path, monkeypatch):
    edit(home, EDIT, f"    nonsense();\n{EDIT}")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(InputError) as caught:
        devices.build(devices.program(3), boards.load("../mine/board"))
    assert str(caught.value.where) == f"{home}/board.c:{line_of(home, 'nonsense')}"


@both
@pytest.mark.parametrize("number", [1, 40])
def test_a_flood_of_errors_is_cut(home, number, compiler):
    edit(home, EDIT, "".join(f"    nonsense_{k}({'1, ' * 100}2);\n" for k in range(number)) + EDIT)
    lines = refused(compiler).what.splitlines()
    assert len(lines) <= 14
    assert max(map(len, lines)) <= 170
    assert (" more lines" in lines[-1]) == (number > 1)


LINKING = {
    "an undefined function": (
        EDIT,
        f"    extern void nowhere(void);\n    nowhere();\n{EDIT}",
        "nowhere is nowhere defined",
    ),
    "a function of the interface": (
        "void qd_board_reset",
        "void qd_board_reset_not(void);\nvoid qd_board_reset_not",
        "qd_board_reset is nowhere defined",
    ),
    "a name of the runtime": (
        "void qd_board_init",
        "void qd_start(void);\nvoid qd_start(void)\n{\n}\n\nvoid qd_board_init",
        "qd_start is defined twice",
    ),
}


@both
@pytest.mark.parametrize("mistake", LINKING)
def test_what_does_not_link_is_told(home, mistake, compiler):
    old, new, says = LINKING[mistake]
    edit(home, old, new)
    error = refused(compiler)
    assert error.what.splitlines()[0] == f"the board does not link: {says}"
    assert str(error.where) == "board/board.c"
    assert "qdeploy-build" not in str(error)
    assert "memcpy" in error.fix


@both
def test_a_vendors_file_that_misses_something_is_named(home, compiler):
    add(home, vendor__clock_c="void tick(void);\nvoid more(void);\nvoid tick(void) { more(); }\n")
    edit(home, EDIT, f"    extern void tick(void);\n    tick();\n{EDIT}")
    assert str(refused(compiler).where) == "board/vendor/clock.c"
    add(home, vendor__clock_c="void tick(void) {\n    nonsense;\n}\n")
    error = refused(compiler)
    assert error.what.startswith("vendor/clock.c does not compile")
    assert str(error.where) == "board/vendor/clock.c:2"


@both
def test_an_error_in_our_files_stays_a_bug(home, compiler):
    board = boards.load("./board")
    devices.need_compiler(board, compiler)
    tree = dict(generate.firmware(devices.program(3), board).files)
    for name, text in (("qd_serial.c", b"nonsense;"), ("qd_cobs.c", b"void x(void);")):
        broken = tree[name] + text
        if name == "qd_cobs.c":
            broken = broken.replace(b"qd_cobs_begin", b"qd_cobs_began").replace(b"x(", b"y(")
        with pytest.raises(ToolFailedError):
            crossbuild.run(SourceTree({**tree, name: broken}), board, compiler)


VENDOR_H = """\
#define VENDOR_BAUD(x) ((x) * RATE)
static int unused_and_unprototyped() { unsigned char narrow = 70000; return narrow; }
typedef struct { union { int a; float b; }; } anonymous;
"""
VENDOR_C = """\
#include "hal.h"
#include <inner/deep.h>
#include "my_uart.h"
int initialised = DEEP, zero;
int shared() { char c = 70000; asm("nop"); return c + initialised + zero + MINE; }
"""
VENDOR_S = """\
    .syntax unified
    .thumb
    .section .text.assembled, "ax", %progbits
    .global assembled
    .type assembled, %function
    .thumb_func
assembled:
    movs r0, #NUMBER
    bx lr
"""


@both
def test_several_sources_and_headers_make_one_board(home, compiler):
    """Ours strictly; a vendor's without a warning, which these files are full of."""
    add(
        home,
        my_uart_h="#define MINE 3\nint mine(void);\n",
        my_uart_c='#include "my_uart.h"\nint mine() { int odd; return MINE; }\n',
        vendor__hal_h=VENDOR_H,
        vendor__hal_c=VENDOR_C,
        vendor__inner__deep_h="#define DEEP 5\n",
        vendor__asm_S=VENDOR_S,
        vendor__asm_c="int assembled_too(void) { return 1; }\n",
        vendor__plain_s=VENDOR_S.replace("assembled", "plain").replace("NUMBER", "4"),
    )
    with (home / "board.toml").open("a") as stream:
        stream.write('\n[sources]\ndefine = ["RATE=2", "NUMBER=7", "TEXT=\\"a b; $(c)\\""]\n')
    edit(
        home, '#include "qd_core.h"', '#include "qd_core.h"\n#include "my_uart.h"\n#include "hal.h"'
    )
    called = ("shared()", "assembled()", "assembled_too()", "plain()", "mine()")
    declared = "".join(f"    extern int {name[:-2]}(void);\n" for name in called if name[0] != "m")
    sum_of = " + ".join((*called, "VENDOR_BAUD(1)", "(int)sizeof TEXT"))
    edit(home, EDIT, f"{declared}    (void)({sum_of});\n{EDIT}")
    firmware = built(compiler)
    for name in ("shared", "assembled", "assembled_too", "plain", "mine"):
        assert devices.symbol(firmware.elf, name)
    assert b"qdeploy-build" not in firmware.elf
    assert built(compiler).elf == firmware.elf


def test_a_header_of_ours_cannot_be_hidden(home):
    add(home, vendor__qd_config_h="#define QD_CLOCK_HZ 1u\n")
    error = refused(None)
    assert "vendor/qd_config.h of the board has the name of a header of the runtime" in error.what


@both
def test_no_date_reaches_an_image(home, compiler):
    add(
        home, vendor__about_c='const char *about(void) { return "built " __DATE__ " " __TIME__; }\n'
    )
    edit(
        home,
        EDIT,
        f"    extern const char *about(void);\n    (void)*(volatile const char *)about();\n{EDIT}",
    )
    assert b"built Jan  1 1970 00:00:00" in built(compiler).elf


@both
def test_a_title_cannot_end_the_comment_it_stands_in(home, compiler):
    path = home / "board.toml"
    title = 'title = "a */ nonsense; /* b\\n#error no"\n'
    path.write_text(title + path.read_text().split("\n", 2)[2])
    assert built(compiler).elf


def test_what_is_no_source_is_left_out(home):
    before = built(None).elf
    add(home, README_md="x", notes_txt="x", _git__config_c="nonsense")
    (home / "_git").rename(home / ".git")
    (home / ".hidden.c").write_text("nonsense")
    assert built(None).elf == before


def links_out(home):
    (home / "out.h").symlink_to("/etc/hostname")


def folder_links_out(home):
    (home / "vendor").symlink_to("/etc")


def links_up(home):
    (home / "up.c").symlink_to("../secret.c")
    (home.parent / "secret.c").write_text("int secret;\n")


def a_pipe(home):
    os.mkfifo(home / "fifo.c")


def a_folder(home):
    (home / "folder.c").mkdir()
    (home / "folder.c" / "x.h").write_text("")


def a_broken_link(home):
    (home / "broken.c").symlink_to("nothing.c")


def an_unprintable_name(home):
    (home / "a\nb.c").write_text("")


def too_many(home):
    for number in range(_sources.MOST_FILES):
        (home / f"f{number}.h").write_text("")


def too_large(home):
    with (home / "large.h").open("wb") as stream:
        stream.truncate(_sources.MOST_BYTES + 1)


REFUSED = {
    links_out: "out.h leads out of the board's folder",
    folder_links_out: "vendor leads out of the board's folder",
    links_up: "up.c leads out of the board's folder",
    a_pipe: "fifo.c is no file",
    a_broken_link: "broken.c is no file",
    an_unprintable_name: r"the name 'a\nb.c' cannot be printed",
    too_many: "more than 1000 sources",
    too_large: "or 64 MiB of them",
}


@pytest.mark.parametrize("spoil", REFUSED, ids=lambda f: f.__name__)
def test_a_folder_that_is_no_board_is_refused_by_name(home, spoil):
    spoil(home)
    error = refused(None)
    assert REFUSED[spoil] in error.what
    assert str(error.where).startswith("board")
    assert "docs/add-a-board.md" in error.fix


def test_links_inside_the_folder_are_files_like_others(home):
    (home / "vendor").mkdir()
    (home / "vendor" / "real.h").write_text("#define REAL 1\n")
    (home / "alias.h").symlink_to("vendor/real.h")
    (home / "again").symlink_to("vendor")
    a_folder(home)
    edit(home, '#include "qd_core.h"', '#include "qd_core.h"\n#include "alias.h"')
    edit(home, EDIT, f"    (void)REAL;\n{EDIT}")
    assert built(None).elf


@pytest.mark.parametrize(
    "define", ["", "1X", "A B", "-DX", "X=\u00e9", "X\n=1", "X=" + "1" * 300, "A" * 70]
)
def test_a_define_that_is_none_is_refused(home, define):
    with (home / "board.toml").open("a") as stream:
        stream.write(f"\n[sources]\ndefine = [{define!r}]\n".replace("'", '"'))
    with pytest.raises(InputError, match="defines no macro") as caught:
        boards.load("./board")
    assert "sources.define" in str(caught.value.where)


@pytest.mark.parametrize("value", ["3", '"X"', "[1]", '{ a = "X" }'])
def test_defines_are_a_list_of_texts(home, value):
    with (home / "board.toml").open("a") as stream:
        stream.write(f"\n[sources]\ndefine = {value}\n")
    with pytest.raises(InputError, match=r"sources\.define is no list of texts"):
        boards.load("./board")
