"""The paths of the server: forecasts of given frames, and streams of frames that come in.

Requests come from programs on the same computer, and may be hostile all the same: every size is
limited before it is taken, and one thread computes, with a short line before it.
"""

import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware
from torch import Tensor

from framecast.base.errors import UserError
from framecast.forecast.predictor import Predictor
from framecast.forecast.rollout import rollout
from framecast.forecast.standing import Now, save_now
from framecast.forecast.stream import Streamer
from framecast.frames.frames import Frames
from framecast.serve.arrays import FRAMES, JSON, NPY, NPZ, parse, parse_named, render
from framecast.serve.meter import Meter
from framecast.serve.worker import BusyError, Deadline, LateError, Result, Worker

HOSTS = ["127.0.0.1", "localhost"]
"""Names by which the server may be called: a page of another name cannot reach it."""
STATE = "application/octet-stream"
BODY = {"requestBody": {"required": True, "content": {NPY: {}, JSON: {}}}}
NAMED = {"requestBody": {"required": True, "content": {NPY: {}, NPZ: {}, JSON: {}}}}
PARTS = (FRAMES, "forcings", "actions")
"""Arrays that come with a frame of a stream."""
ANSWER: dict[int | str, dict[str, Any]] = {200: {"content": {NPY: {}, JSON: {}}}}


@dataclass(frozen=True)
class Bounds:
    """What a request may ask for.

    Attributes:
        body: bytes of a request.
        steps: lead times.
        streams: that are held at a time.
        sequences: side by side in a request or a stream.
        frames: that are given in a request, of all its sequences together.
        waiting: requests that wait while another one is computed.
        seconds: from the arrival of a request to its answer.
    """

    body: int = 64_000_000
    steps: int = 1000
    streams: int = 100
    sequences: int = 64
    frames: int = 2000
    waiting: int = 16
    seconds: float = 60.0


@dataclass
class Held:
    """A stream, and where it stands."""

    streamer: Streamer
    now: Now | None = None


@dataclass(frozen=True)
class Service:
    """What all paths share.

    Attributes:
        predictor: the model, on its device.
        bounds: of requests.
        like: frames of the kind of those of the training (see `Streamer`).
        worker: which computes.
        meter: what is counted.
        held: streams by name.
    """

    predictor: Predictor
    bounds: Bounds
    like: Frames | None
    worker: Worker
    meter: Meter
    held: dict[str, Held] = field(default_factory=dict)

    def stream(self, name: str) -> Held:
        """Return a stream; say in HTTP that there is none of that name."""
        if name not in self.held:
            raise HTTPException(404, "there is no such stream: POST /streams begins one")
        return self.held[name]

    async def forecast(self, job: Callable[[Deadline], Tensor]) -> Tensor:
        """Run a job that forecasts [N,K,...], and count its frames."""
        found = await self.compute(job)
        self.meter.frames.inc(found.shape[0] * found.shape[1])
        return found

    async def compute(self, job: Callable[[Deadline], Result]) -> Result:
        """Run a job; say in HTTP why there is no result."""
        try:
            return await self.worker.run(job)
        except BusyError as error:
            raise HTTPException(503, "too many requests wait", {"Retry-After": "1"}) from error
        except LateError as error:
            raise HTTPException(
                504, f"not done within {self.worker.seconds:g} seconds: ask for fewer steps"
            ) from error
        except UserError as error:
            raise HTTPException(422, str(error)) from error


def make_app(predictor: Predictor, bounds: Bounds, like: Frames | None = None) -> FastAPI:
    """Return the application that forecasts by a trained model.

    Args:
        predictor: the model, on its device.
        bounds: of requests.
        like: frames of the kind of those of the training (see `Streamer`).
    """
    worker = Worker(bounds.waiting, bounds.seconds)
    service = Service(predictor, bounds, like, worker, Meter(worker))

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        worker.close()

    # The pages that FastAPI makes of its own load scripts from elsewhere: /openapi.json is enough.
    app = FastAPI(
        title="framecast",
        docs_url=None,
        redoc_url=None,
        lifespan=life,
        dependencies=[Depends(_known)],
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)
    for add in (_measure, _describe, _add_forecasts, _add_streams, _add_states):
        add(app, service)
    return app


def _known(request: Request) -> None:
    """Refuse a query that nothing reads, such as step for steps."""
    read = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    if unknown := sorted(request.query_params.keys() - read):
        known = f": only {', '.join(sorted(read))} is" if read else ", nor anything else"
        raise HTTPException(422, f"the query {', '.join(unknown)} is not read{known}")


def _measure(app: FastAPI, service: Service) -> None:
    """Count every request under the path that answered it."""

    @app.middleware("http")
    async def count(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        begin, status = time.perf_counter(), 500
        try:
            response = await answer(request)
            status = response.status_code
            return response
        finally:
            route = request.scope.get("route")
            path = getattr(route, "path", "unknown")
            service.meter.note(path, status, time.perf_counter() - begin)


def _describe(app: FastAPI, service: Service) -> None:
    """Add what says how the server is, and what it serves."""
    meter, checkpoint = service.meter, service.predictor.checkpoint
    spec = checkpoint.frames

    @app.get("/health")
    def health() -> dict[str, Any]:
        """Whether the server answers."""
        return {"status": "ok", "seconds": round(time.monotonic() - meter.begin, 1)}

    @app.get("/metrics")
    def metrics() -> Response:
        """What was counted, for Prometheus."""
        return Response(meter.text(), media_type="text/plain; version=0.0.4")

    @app.get("/model")
    def model() -> dict[str, Any]:
        """What the model reads and predicts, and what a request may ask for."""
        return {
            "layer": checkpoint.model.config.layer,
            "context": checkpoint.context,
            "time_step": spec.step,
            "grid": list(spec.grid),
            "reads": [{"name": c.name, "units": c.units} for c in spec.of_role("prognostic")],
            "forcings": [{"name": c.name, "units": c.units} for c in spec.of_role("forcing")],
            "actions": spec.actions,
            "action_names": list(spec.action_names),
            "predicts": [{"name": c.name, "units": c.units} for c in spec.predicted],
            "bounds": vars(service.bounds),
        }


def _add_forecasts(app: FastAPI, service: Service) -> None:
    """Add forecasts of frames that are given all at once."""
    predictor, bounds = service.predictor, service.bounds

    @app.post("/forecast", responses=ANSWER, openapi_extra=BODY)
    async def forecast(request: Request, steps: Annotated[int, Query(ge=1)] = 1) -> Response:
        """Forecast from given frames: [T,C,H,W] gives [K,C,H,W], [N,T,C,H,W] gives [N,K,C,H,W].

        Frames are in physical units, with NaN (null in JSON) where a value is missing.
        """
        _within("steps", steps, bounds.steps)
        if beside := _beside(predictor):
            raise HTTPException(
                422,
                f"this model reads {', '.join(beside)} beside past frames: push frames to a stream "
                "(POST /streams), which takes them",
            )
        frames = await _array(request, bounds)
        if frames.ndim not in (4, 5):
            raise HTTPException(
                422, f"frames must be [T,C,H,W] or [N,T,C,H,W], not {frames.ndim}-D"
            )
        one = frames.ndim == 4
        context = frames[None] if one else frames
        given = context.shape[0] * context.shape[1]
        _within("sequences", len(context), bounds.sequences)
        _within("given frames", given, bounds.frames)
        _check_shape(predictor, context.shape[2:], given)

        def run(deadline: Deadline) -> Tensor:
            leads = []
            for frame in rollout(predictor.checkpoint, context, steps, str(predictor.device)):
                deadline.check()
                leads.append(frame)
            return torch.stack(leads, dim=1)

        found = await service.forecast(run)
        return _answer(request, found[0] if one else found)


def _add_streams(app: FastAPI, service: Service) -> None:
    """Add streams: their begin, their frames and their end."""
    predictor, bounds, held = service.predictor, service.bounds, service.held
    service.meter.streams.set_function(lambda: len(held))

    @app.post("/streams", status_code=201)
    def begin(horizon: Annotated[int, Query(ge=1)] = 1) -> dict[str, str]:
        """Begin a stream that forecasts so many lead times after each frame."""
        _within("horizon", horizon, bounds.steps)
        if len(held) >= bounds.streams:
            raise HTTPException(429, f"{bounds.streams} streams are held: DELETE one first")
        name = secrets.token_urlsafe(12)
        held[name] = Held(_told(lambda: Streamer(predictor, horizon, service.like)))
        return {"stream": name}

    @app.post("/streams/{name}/frames", responses=ANSWER, openapi_extra=NAMED)
    async def push(name: str, request: Request, time: str | None = None) -> Response:
        """Read a frame [N,C,H,W] of each of N sequences; return what follows, [N,K,C,H,W].

        Times are ISO 8601, or numbers where those of the training are; frames that are missing
        between two are filled and flagged. A model that reads forcings or actions is given them
        beside the frames, by these names in a .npz file or a JSON object: forcings [N,K+1,F,H,W] at
        the frame and the K after it, actions [N,K,A] from each to the next.
        """
        stream, parts = service.stream(name), await _named(request, bounds)
        frame = parts.pop(FRAMES)
        if frame.ndim != 4:
            raise HTTPException(422, f"a frame must be [N,C,H,W], not {frame.ndim}-D")
        _within("sequences", len(frame), bounds.sequences)
        _check_shape(predictor, frame.shape[1:], len(frame))
        if stream.now is not None and len(frame) != len(stream.now.last):
            raise HTTPException(422, f"this stream has {len(stream.now.last)} sequences")

        def run(deadline: Deadline) -> Tensor:
            pushed = stream.streamer.push(
                frame, time, **parts, now=stream.now, between=deadline.check
            )
            leads, stream.now = pushed
            return leads

        return _answer(request, await service.forecast(run))

    @app.delete("/streams/{name}", status_code=204)
    def end(name: str) -> None:
        """End a stream."""
        service.stream(name)
        del held[name]


def _add_states(app: FastAPI, service: Service) -> None:
    """Add what keeps a stream, and lets it go on elsewhere."""
    checkpoint = service.predictor.checkpoint

    @app.get("/streams/{name}/state", responses={200: {"content": {STATE: {}}}})
    def state(name: str) -> Response:
        """Return where a stream stands, as a .safetensors file."""
        now = service.stream(name).now
        if now is None:
            raise HTTPException(409, "no frame came in yet")
        with tempfile.TemporaryDirectory() as folder:
            save_now(now, checkpoint, file := Path(folder) / "now.safetensors")
            return Response(file.read_bytes(), media_type=STATE)

    @app.put("/streams/{name}/state", status_code=204)
    async def restore(name: str, request: Request) -> None:
        """Let a stream go on from where it stood: the body is such a file."""
        stream, body = service.stream(name), await _body(request, service.bounds)
        with tempfile.TemporaryDirectory() as folder:
            (file := Path(folder) / "now.safetensors").write_bytes(body)
            most = service.bounds.sequences
            stream.now = await service.compute(lambda _: stream.streamer.restored(file, most))


def _told(make: Callable[[], Any]) -> Any:
    """What is made, or in HTTP what a user is told."""
    try:
        return make()
    except UserError as error:
        raise HTTPException(422, str(error)) from error


async def _array(request: Request, bounds: Bounds) -> Tensor:
    body = await _body(request, bounds)
    values: Tensor = _told(lambda: parse(body, request.headers.get("content-type", NPY)))
    return values


async def _named(request: Request, bounds: Bounds) -> dict[str, Tensor]:
    body, kind = await _body(request, bounds), request.headers.get("content-type", NPY)
    parts: dict[str, Tensor] = _told(lambda: parse_named(body, kind, PARTS, bounds.body))
    return parts


async def _body(request: Request, bounds: Bounds) -> bytes:
    """Read a body that is no longer than allowed, whatever its header says."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > bounds.body:
            raise HTTPException(413, f"a request may have at most {bounds.body} bytes")
        parts.append(part)
    return b"".join(parts)


def _answer(request: Request, values: Tensor) -> Response:
    kind = JSON if JSON in request.headers.get("accept", "") else NPY
    return Response(render(values, kind), media_type=kind)


def _beside(predictor: Predictor) -> list[str]:
    """What the model reads beside past frames."""
    spec = predictor.checkpoint.frames
    return [*spec.conditions, *(["actions"] if spec.actions else [])]


def _within(name: str, value: int, most: int) -> None:
    if value > most:
        raise HTTPException(422, f"{name} may be at most {most}, not {value}")


def _check_shape(predictor: Predictor, shape: torch.Size, frames: int) -> None:
    """Refuse frames whose channels or grid do not suit the model."""
    spec = predictor.checkpoint.frames
    names = [c.name for c in spec.of_role("prognostic")]
    wanted = (len(names), *spec.grid)
    if not frames:
        raise HTTPException(422, "the body holds no frame")
    if tuple(shape) != wanted:
        raise HTTPException(
            422, f"frames must be {list(wanted)} ({', '.join(names)}), not {list(shape)}"
        )
