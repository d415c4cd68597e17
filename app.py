"""The WSGI application for any server (``app:server``); ``python app.py`` serves it with MMUViz's own."""

import sys

from mmuviz.cli import main
from mmuviz.web.app import create_app

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))

server = create_app().server
