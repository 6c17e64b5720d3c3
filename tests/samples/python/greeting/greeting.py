def greeting(name):
    return f"Hello from {name}\n"
