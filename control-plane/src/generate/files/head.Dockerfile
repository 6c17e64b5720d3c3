# Made by Towline. Edit it as you like: your changes stay when it is made again.
# To pin a base image, give its digest: --build-arg RUN_IMAGE=NAME:TAG@sha256:DIGEST
