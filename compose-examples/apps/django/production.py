"""What a project needs behind the proxy, on top of startproject's settings."""
import os

from .settings import *

DEBUG = False
SECRET_KEY = os.environ["SECRET_KEY"]
STATIC_ROOT = BASE_DIR / "staticfiles"

SITE = os.environ.get("SITE", "localhost")
ALLOWED_HOSTS = [SITE]
CSRF_TRUSTED_ORIGINS = [f"https://{SITE}"]
# The proxy writes this header itself and lets none of a client through.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "db",
        "NAME": "shop",
        "USER": "shop",
        "PASSWORD": os.environ.get("DB_PASSWORD", ""),
    }
}
