"""The embedded shop: a generated catalogue and log whose rules are known, for the demo and for tests."""

from unimp.demo.shop.settings import ShopConfig
from unimp.demo.shop.writing import hidden_items, shop_users, write_shop

__all__ = ["ShopConfig", "hidden_items", "shop_users", "write_shop"]
