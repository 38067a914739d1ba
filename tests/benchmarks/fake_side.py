"""A side for the tests: it computes nothing."""

import os
import time


class Side:
    def echo(self, value):
        print("whatever a library prints")
        return {"value": value}

    def fail(self, text):
        raise RuntimeError(text)

    def need(self, module):
        __import__(module)

    def end(self, status):
        os._exit(status)

    def sleep(self, seconds):
        time.sleep(seconds)
        return {"pid": os.getpid()}

    def pid(self):
        return {"pid": os.getpid()}
