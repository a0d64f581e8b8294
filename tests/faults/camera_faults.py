"""Faults of cameras and decoders, and of the whole pipeline between them and the server."""

from __future__ import annotations

import os
import resource
import signal
import socket
from contextlib import ExitStack, suppress

from tests.faults.camera_world import NOTICED_S, CameraWorld
from tests.faults.fault import Faults

FAULTS = Faults("camera", cameras=True)


# Cameras that go, hang and lie


@FAULTS.enter("a camera loses its power for 4 s")
def _(world: CameraWorld) -> None:
    with world.away():
        world.one.kill()
        world.work(4.0)
    world.one.start()
    world.wait_until_up()


@FAULTS.enter("every camera loses its power for 7 s")
def _(world: CameraWorld) -> None:
    with world.away(*world.cameras):
        for camera in world.cameras.values():
            camera.kill()
        world.work(7.0)
        world.tell_open_gaps(*world.cameras)
    for camera in world.cameras.values():
        camera.start()
    world.wait_until_up()


@FAULTS.enter("a camera freezes for 5 s (SIGSTOP)")
def _(world: CameraWorld) -> None:
    with world.away(), world.stopped(world.one.pid):
        world.work(5.0)
    world.wait_until_up()


@FAULTS.enter("a camera's packets are swallowed for 5 s")
def _(world: CameraWorld) -> None:
    with world.away(), world.one.proxy.being(swallow_replies=True):
        world.work(5.0)
    world.wait_until_up()


@FAULTS.enter("a camera's port refuses for 4 s")
def _(world: CameraWorld) -> None:
    with world.away(), world.one.proxy.refusing():
        world.work(4.0)
    world.wait_until_up()


@FAULTS.enter("a camera's connection is cut five times")
def _(world: CameraWorld) -> None:
    for _ in range(5):
        world.one.proxy.cut()
        world.work(world.random.uniform(0.1, 1.0))


@FAULTS.enter("a camera sends half frames (bits flip on the way)")
def _(world: CameraWorld) -> None:
    with world.one.proxy.being(flip_chance=0.2):
        world.work(3.0)


@FAULTS.enter("a camera sends random bytes")
def _(world: CameraWorld) -> None:
    with world.one.proxy.being(babble=0.3):
        world.work(3.0)


@FAULTS.enter("a camera's network is slow and lumpy (300 ms late, 200 bytes at a time)")
def _(world: CameraWorld) -> None:
    with world.one.proxy.being(delay_s=0.3, drip_bytes=200):
        world.work(3.0)


@FAULTS.enter("a camera comes back with another codec and another size")
def _(world: CameraWorld) -> None:
    world.one.kill()
    world.one.start(codec="libx265", width=128, height=96)
    world.work(3.0)
    world.one.kill()
    world.one.start()


@FAULTS.enter("a camera goes away in the middle of the handshake, again and again")
def _(world: CameraWorld) -> None:
    with world.away(), world.one.proxy.being(cut_chance=1.0):
        world.one.proxy.cut()
        world.work(4.0)
    world.wait_until_up()


# Decoders


@FAULTS.enter("a decoder is killed (kill -9)")
def _(world: CameraWorld) -> None:
    os.kill(world.random.choice(world.decoders()), signal.SIGKILL)
    world.work(1.0)


@FAULTS.enter("every decoder is killed, three times")
def _(world: CameraWorld) -> None:
    for _ in range(3):
        for pid in world.decoders():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        world.work(world.random.uniform(0.5, 1.5))


@FAULTS.enter("every decoder is stopped for 5 s (SIGSTOP)")
def _(world: CameraWorld) -> None:
    pids = world.decoders()
    with world.away(*world.cameras), ExitStack() as stopped:
        for pid in pids:
            stopped.enter_context(world.stopped(pid))
        world.work(5.0)
    world.wait_until_up()


@FAULTS.enter("decoders get SIGTERM, SIGHUP, SIGQUIT and SIGINT")
def _(world: CameraWorld) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT):
        for pid in world.decoders():
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        world.work(1.0)


@FAULTS.enter("a decoder gets no memory")
def _(world: CameraWorld) -> None:
    for pid in world.decoders():
        resource.prlimit(pid, resource.RLIMIT_AS, (1 << 20, 1 << 20))
    world.one.proxy.cut()  # it has to open the camera anew
    world.work(2.0)


@FAULTS.enter("decoders die while the pipeline has no file descriptor left for 4 s")
def _(world: CameraWorld) -> None:
    pids = world.decoders()
    with world.away(*world.cameras), world.limited(resource.RLIMIT_NOFILE, 3):
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        world.work(4.0)
    world.wait_until_up()


# The pipeline


@FAULTS.enter("the pipeline is killed (kill -9), twice")
def _(world: CameraWorld) -> None:
    for _ in range(2):
        world.kill_publisher()
        world.start_publisher()
        world.wait_until_up()
        world.work(world.random.uniform(0.2, 1.0))


@FAULTS.enter("the pipeline ends by SIGTERM, SIGHUP, SIGQUIT and SIGINT")
def _(world: CameraWorld) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT):
        world.end_publisher(number)
        world.start_publisher()
        world.wait_until_up()
        world.work(0.5)


@FAULTS.enter("the pipeline ends by SIGTERM while the server is away")
def _(world: CameraWorld) -> None:
    with world.proxy.refusing():
        world.work(0.5)
        world.end_publisher()
    world.start_publisher()
    world.wait_until_up()


@FAULTS.enter("the pipeline is stopped for 4 s (SIGSTOP)")
def _(world: CameraWorld) -> None:
    assert world.publisher is not None
    with world.stopped(world.publisher.pid):
        world.work(4.0)


@FAULTS.enter("everything is killed at once: pipeline, server, consumer, a camera")
def _(world: CameraWorld) -> None:
    world.kill_publisher()
    world.kill_server()
    world.kill_consumer()
    world.one.kill()
    world.one.start()
    world.start_server()
    world.start_consumer()
    world.start_publisher()
    world.wait_until_up()
    world.work(1.0)


@FAULTS.enter("the server is away for 7 s under the pipeline")
def _(world: CameraWorld) -> None:
    with world.something_wrong(), world.proxy.refusing():
        world.work(NOTICED_S + 3.0)


@FAULTS.enter("the disk is full for 6 s under the pipeline")
def _(world: CameraWorld) -> None:
    with world.something_wrong(), world.limited(resource.RLIMIT_FSIZE, 1000):
        world.work(NOTICED_S + 2.0)


@FAULTS.enter("300 half requests to /metrics, while the server goes and comes")
def _(world: CameraWorld) -> None:
    with ExitStack() as half:
        for _ in range(300):
            client = half.enter_context(socket.create_connection(("127.0.0.1", world.health_port), timeout=5))
            client.sendall(b"GET /metrics HT")
        with world.proxy.refusing():
            world.work(1.0)
        world.work(1.0)
