from unimp.testing.rankers import RankerContract


class TestEASE(RankerContract):
    method = "ease"
    settings = {"l2": 10.0}  # noqa: RUF012
    floor = 0.65


class TestEASEWithRecency(RankerContract):
    method = "ease"
    settings = {"l2": 10.0, "recency": 0.6}  # noqa: RUF012
    floor = 0.7
    order_matters = True
