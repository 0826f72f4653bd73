"""Pickles that mean harm, by name: the rows of docs/checkpoints/pickles.md.

`READ` maps a name to the opcodes of a value and to what must be true of the data that comes of it, `REJECTED` to the
opcodes and to a pattern of the reason for which the file is refused.
"""

import struct

from assay.checkpoint.pickles import MAX_OPCODES, Instance, Name
from shared.checkpoint_foreign import storage, tensor, text

MIB = 1 << 20


def many(opcodes, count):
    return opcodes * count


def deep(opener, closer, depth, core=b"N"):
    return opener * depth + core + closer * depth


def laughs(levels=60):
    """A list that holds the one before it ten times, and so on: ten to the 60th members, in 1 KiB."""
    steps = b"]q\x00"
    for level in range(levels):
        before = b"h" + bytes([level])
        steps += b"0](" + before * 10 + b"eq" + bytes([level + 1])
    return steps


def module(parameters, modules=b"}"):
    """The opcodes that push a module with these dicts."""
    return (
        b"cnowhere\nModule\n)\x81}(" + text("_parameters") + parameters + text("_buffers") + b"}" + text("_modules")
        + modules + b"ub"
    )  # fmt: skip


def shared_modules(levels=30):
    """A module that holds the one below it twice: two to the 30th names."""
    steps = module(b"}" + text("w") + tensor((1,), (1,)) + b"s") + b"q\x00"
    for level in range(levels):
        below = b"h" + bytes([level])
        steps += b"0" + module(b"}", b"}(" + text("a") + below + text("b") + below + b"u") + b"q" + bytes([level + 1])
    return steps


def endless_module():
    """A module that holds itself."""
    return b"cnowhere\nModule\n)\x81q\x00}(" + text("_parameters") + b"}" + text("_modules") + b"}" + (
        text("a") + b"h\x00su" + b"b"
    )  # fmt: skip


READ = {
    "keys_of_stand_ins": (b"}(cnowhere\nKey\nK\x01cnowhere\nKey\n)RK\x02u", lambda x: sorted(x.values()) == [1, 2]),
    "keys_of_nested_tuples": (b"}" + deep(b"(", b"t", 100_000) + b"K\x01s", lambda x: list(x.values()) == [1]),
    "keys_that_collide": (
        b"}(" + b"".join(b"\x8a\x0a" + (k * (2**61 - 1)).to_bytes(10, "little") + b"N" for k in range(100_000)) + b"u",
        lambda x: len(x) == 100_000,
    ),
    "keys_that_cannot_be_hashed": (b"}(]K\x01}K\x02u", lambda x: sorted(x.values()) == [1, 2]),
    "member_of_a_set_that_cannot_be_hashed": (b"\x8f(]}\x90", lambda x: x == [[], {}]),
    "extension_1": (b"\x82\xf0", lambda x: x.name == "copyreg.extension_240"),
    "extension_2": (b"\x83\xf0\x01)R", lambda x: x.name == "copyreg.extension_496"),
    "extension_4": (b"\x84\xf0\x01\x00\x00", lambda x: x.name == "copyreg.extension_496"),
    "inst": (b"(" + text("touch hacked") + b"ios\nsystem\n", lambda x: x.name == "os.system"),
    "obj": (b"(cos\nsystem\n" + text("touch hacked") + b"o", lambda x: x.args == ("touch hacked",)),
    "newobj": (b"cos\nsystem\n(" + text("touch hacked") + b"t\x81", lambda x: x.name == "os.system"),
    "newobj_ex": (
        b"cos\nsystem\n)}" + text("command") + text("touch hacked") + b"s\x92",
        lambda x: x.keywords.entries == [("command", "touch hacked")],
    ),
    "stack_global": (text("os") + text("system") + b"\x93)R", lambda x: x.name == "os.system"),
    "name_with_dots": (
        text("builtins") + text("eval.__call__") + b"\x93)R",
        lambda x: x.name.endswith("eval.__call__"),
    ),
    "call_of_a_result": (
        b"cbuiltins\ngetattr\n(cos\n\n" + text("system") + b"tR(" + text("touch hacked") + b"tR",
        lambda x: x.name == "builtins.getattr",
    ),
    "state_of_a_class": (b"cos\nsystem\n}" + text("__class__") + b"Nsb", lambda x: x.name == "os.system"),
    "state_that_replaces_methods": (
        b"cnowhere\nThing\n)\x81}(" + text("__class__") + text("a") + text("__setstate__") + b"ceval\nx\nub",
        lambda x: x["__class__"] == "a",
    ),
    "state_of_a_list": (b"]}" + text("a") + b"Nsb", lambda x: x == []),
    "states_in_a_chain": (
        deep(b"cnowhere\nThing\n)\x81", b"b", 100_000, b"}" + text("a") + b"Ns"),
        lambda x: isinstance(x, Instance),
    ),
    "deep_lists": (deep(b"](", b"e", 100_000), lambda x: len(x) == 1),
    "deep_tuples": (deep(b"", b"\x85", 100_000), lambda x: len(x) == 1),
    "deep_dicts": (deep(b"}K\x00", b"s", 100_000), lambda x: len(x) == 1),
    "deep_calls": (deep(b"cnowhere\nf\n", b"\x85R", 100_000), lambda x: x.name == "nowhere.f"),
    "list_in_itself": (b"]q\x00h\x00a", lambda x: x[0] is x),
    "dict_in_itself": (b"}q\x00" + text("x") + b"h\x00s", lambda x: x["x"] is x),
    "tuple_in_itself": (b"]q\x00h\x00\x85a", lambda x: x[0][0] is x),
    "object_in_its_own_state": (
        b"cnowhere\nThing\n)\x81q\x00}" + text("me") + b"h\x00sb",
        lambda x: x["me"] is x,
    ),
    "billion_laughs": (laughs(), lambda x: len(x) == 10),
    "huge_memo_index": (b"Nr\xff\xff\xff\xff", lambda x: x is None),
    "text_memo_index": (b"Np99999999999999999999\n", lambda x: x is None),
    "frame_without_end": (b"\x95" + b"\xff" * 8 + b"N", lambda x: x is None),
    "array_of_objects": (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01bt"
        b"R(K\x01K\x02\x85cnumpy\ndtype\n(" + text("O8") + b"\x89\x88tR\x89](cos\nsystem\nNetb",
        lambda x: isinstance(x[0], Name) and x[0].name == "os.system" and x[1:] == [None],
    ),
    "array_larger_than_its_bytes": (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR(K\x01J\xff\xff\xff\x7fJ\xff\xff\xff"
        b"\x7f\x86cnumpy\ndtype\n(" + text("f8") + b"\x89\x88tR\x89C\x08" + bytes(8) + b"tb",
        lambda x: isinstance(x, Instance),
    ),
    "tensor_of_another_function": (
        tensor((4,), (1,), function="_rebuild_tensor_v9"),
        lambda x: isinstance(x, Instance) and x.name == "torch._utils._rebuild_tensor_v9",
    ),
    "negative_view": (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage()
        + b"K\x00K\x04\x85K\x01\x85\x89N}"
        + text("neg")
        + b"\x88stR",
        lambda x: isinstance(x, Instance),
    ),
}  # fmt: skip
REJECTED = {
    "huge_number": (b"\x8b" + (8192).to_bytes(4, "little") + b"\x7f" * 8192, "a number of 65535 bits"),
    "number_longer_than_the_file": (b"\x8b\xff\xff\xff\x7f\x01", "a damaged pickle"),
    "number_of_negative_length": (b"\x8b\xff\xff\xff\xff\x01", "a damaged pickle"),
    "number_of_many_digits": (b"I" + b"9" * 100_000 + b"\n", "a damaged pickle"),
    "text_longer_than_the_file": (b"\x8d" + struct.pack("<Q", 1 << 62) + b"a", "a damaged pickle"),
    "text_beyond_any_length": (b"\x8d" + b"\xff" * 8 + b"a", "a damaged pickle"),
    "bytes_longer_than_the_file": (b"\x8e" + struct.pack("<Q", 1 << 62) + b"a", "a damaged pickle"),
    "bytearray_longer_than_the_file": (b"\x96" + struct.pack("<Q", 1 << 40) + b"a", "a damaged pickle"),
    "buffer_out_of_band": (b"\x97", "a damaged pickle"),
    "unknown_opcode": (b"\xff", "a damaged pickle"),
    "get_of_nothing": (b"h\x07", "a damaged pickle"),
    "pop_of_nothing": (b"0" * 9, "a damaged pickle"),
    "mark_of_nothing": (b"t", "a damaged pickle"),
    "too_little_on_the_stack": (b"\x87" * 3, "takes more than it has"),
    "values_left_over": (b"Ns}}N", "leaves values over"),
    "call_of_text": (text("os.system") + b")R", "calls what is no function"),
    "call_with_a_list": (b"cos\nsystem\n]R", "calls what is no function"),
    "name_of_numbers": (b"K\x01K\x02\x93", "a name that is no text"),
    "long_name": (b"c" + b"a" * 2000 + b"\nb\n", "a name of more than 1000"),
    "long_key": (b"}" + text("a" * 2000) + b"Ns", "a name of more than 1000"),
    "append_to_a_number": (b"K\x01Na", "appends to what is no list"),
    "items_of_a_list": (b"]NNs", "sets items of what is no dict"),
    "persistent_text": (b"P0\n", "what is no storage"),
    "persistent_number": (b"K\x07Q", "what is no storage"),
    "persistent_list": (b"]Q", "what is no storage"),
    "persistent_call": (b"cos\nsystem\n(" + text("touch hacked") + b"tRQ", "what is no storage"),
    "persistent_of_another_class": (storage(kind="os\nsystem"), "of an unknown kind"),
    "storage_of_negative_length": (storage(count=-1), "without a length"),
    "storage_longer_than_its_bytes": (storage(count=2**31 - 1), "not as long as its bytes"),
    "storage_shorter_than_its_bytes": (storage(count=3), "not as long as its bytes"),
    "storage_that_is_not_there": (storage(key="../../etc/passwd"), "is not there"),
    "storage_of_two_types": (b"](" + storage() + storage(kind="torch\nIntStorage") + b"e", "in two ways"),
    "tensor_beyond_its_storage": (tensor((5,), (1,)), "beyond its storage"),
    "tensor_offset_beyond_its_storage": (tensor((1,), (1,), offset=4), "beyond its storage"),
    "tensor_of_negative_offset": (tensor((1,), (1,), offset=-1), "impossible shape"),
    "tensor_of_negative_size": (tensor((-1,), (1,)), "impossible shape"),
    "tensor_of_negative_stride": (tensor((2,), (-1,), offset=1), "impossible shape"),
    "tensor_of_two_shapes": (tensor((2,), (1, 1)), "impossible shape"),
    "tensor_of_endless_repetition": (tensor((2**31 - 1,) * 3, (0, 0, 0)), "impossible shape"),
    "tensor_of_many_dimensions": (tensor((1,) * 100, (1,) * 100), "without a shape"),
    "tensor_of_no_storage": (tensor((1,), (1,), of=b"]"), "what is no storage"),
    "tensor_of_a_called_storage": (tensor((1,), (1,), of=b"cos\nsystem\n)R"), "what is no storage"),
    "modules_without_end": (endless_module(), "nested more deeply"),
    "modules_that_multiply": (shared_modules(), "contents of more than|nested more deeply"),
    "many_names": (
        b"](" + b"".join(b"cnowhere\nf%d\n" % index for index in range(10_001)) + b"e",
        "more than 10,000 names",
    ),
    "many_steps": (b"](" + many(b"N", MAX_OPCODES) + b"e", "more than 2,000,000 steps"),
    "one_list_in_many_deques": (
        b"](" + many(b"N", 10_000) + b"eq\x000](" + many(b"ccollections\ndeque\nh\x00\x85R", 2000) + b"e",
        "contents of more than 5,000,000 items",
    ),
    "one_state_in_many_objects": (
        b"}(" + b"".join(text(f"k{index}") + b"N" for index in range(10_000)) + b"uq\x000]("
        + many(b"cnowhere\nf\n)\x81h\x00b", 2000) + b"e",
        "contents of more than 5,000,000 items",
    ),
    "one_text_in_many_arrays": (
        text("a" * (4 * MIB)) + b"q\x000](" + many(
            b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(" + text("f8") + b"\x89\x88tRc_codecs\nencode\n(h\x00"
            + text("latin1") + b"tRtR", 100
        ) + b"e",
        "arrays and texts of more than 64 MiB",
    ),
}  # fmt: skip
