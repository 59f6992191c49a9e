"""Pictures within a page: well formed whatever is drawn, and every value within its frame."""

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.plots import WIDTH, Layer, columns, curves

values = st.none() | st.floats(0, 1e12, allow_nan=False)


@given(
    rows=st.lists(st.tuples(values, values), max_size=40),
    label=st.text(max_size=9).map(
        lambda s: f"<{s.encode('ascii', 'ignore').decode('ascii').translate(dict.fromkeys(range(32)))}&"
    ),
)
@pytest.mark.parametrize("draw", [columns, curves])
def test_everything_stands_within_its_frame(draw, rows, label):
    """Nothing at all, one value, gaps, zeros and huge numbers."""
    layers = [Layer("delivered", label, [row[0] for row in rows]), Layer("sent", label, [row[1] for row in rows])]
    picture = ET.fromstring(draw(label, [label] * len(rows), layers))
    assert "style" not in {name for node in picture.iter() for name in node.attrib}
    for node in picture.iter("rect"):
        x, width = float(node.attrib["x"]), float(node.attrib["width"])
        y, height = float(node.attrib["y"]), float(node.attrib["height"])
        assert 0 <= x <= x + width <= WIDTH
        assert 0 <= y <= y + height <= 200.5
    for node in picture.iter("circle"):
        assert 0 <= float(node.attrib["cx"]) <= WIDTH
        assert 0 <= float(node.attrib["cy"]) <= 200


def test_a_lone_value_between_gaps_is_a_dot():
    """Or it would not be seen."""
    text = curves("x", ["a", "b", "c", "d"], [Layer("half", "half", [None, 3.0, None, None])])
    assert text.count("<circle") == 1
