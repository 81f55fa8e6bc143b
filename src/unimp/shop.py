"""The former name of `unimp.demo.shop`, for scripts that import it."""

from unimp.demo.shop import ShopConfig, hidden_items, shop_users, write_shop

__all__ = ["ShopConfig", "hidden_items", "shop_users", "write_shop"]
