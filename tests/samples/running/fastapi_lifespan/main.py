"""A counter that is made when the app starts."""

import os
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, Request


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.counter = {"value": 0}
    yield
    app.state.counter.clear()


app = FastAPI(lifespan=lifespan)


@app.get("/health")
def health(request: Request):
    return {"status": "ok", "value": request.app.state.counter["value"]}


@app.post("/api/count")
def count(request: Request):
    request.app.state.counter["value"] += 1
    return request.app.state.counter


if __name__ == "__main__":
    uvicorn.run(app, host="0.0.0.0", port=int(os.environ.get("PORT", "8000")))
