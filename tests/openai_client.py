"""OpenAI's own Python client against a running rag-api: each check is one call or refusal."""

import asyncio
import base64
import struct
import sys

import openai

BASE_URL, QUESTION = sys.argv[1], "How many characters may a question have?"
ASK = {"model": "rag-api", "messages": [{"role": "user", "content": QUESTION}]}
passed, failed = 0, 0


def check(name, ok, shown=""):
    global passed, failed
    if ok:
        passed += 1
    else:
        failed += 1
    print(f"{'ok    ' if ok else 'FAILED'} {name}{'' if ok else f': {shown}'}")


def refused(name, kind, call, **expected):
    try:
        reply = call()
    except openai.APIError as error:
        got = {key: getattr(error, key, None) for key in expected}
        check(name, isinstance(error, kind) and got == expected, f"{type(error).__name__} {error} {got}")
    else:
        check(name, False, f"was answered: {reply}")


def models(client):
    listed = [model.id for model in client.models.list()]
    check("models.list", "rag-api" in listed and len(listed) == 2, listed)
    for name in listed:
        check(f"models.retrieve {name}", client.models.retrieve(name).id == name)
    refused("models.retrieve unknown", openai.NotFoundError, lambda: client.models.retrieve("gpt-9"),
            code="model_not_found")


def completions(client):
    reply = client.chat.completions.create(**ASK)
    message = reply.choices[0].message
    check("completion", "4,000" in message.content and "[1]" in message.content, message.content)
    check("completion finish_reason", reply.choices[0].finish_reason == "stop")
    check("completion usage", reply.usage.total_tokens >= 0)
    check("completion id", reply.id.startswith("chatcmpl-") and reply.object == "chat.completion")
    citation = reply.rag["citations"][0]
    check("completion citations", citation["verdict"] in ("supported", "weak") and citation["quote"], citation)
    check("completion contexts", len(reply.rag["contexts"]) == 3)
    raw = client.chat.completions.with_raw_response.create(**ASK)
    check("raw response", raw.headers["x-trace-id"] == raw.parse().rag["metadata"]["trace_id"])
    parts = [{"type": "text", "text": "How many characters "}, {"type": "text", "text": "may a question have?"}]
    reply = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": parts}])
    check("parts and another model's name", "4,000" in reply.choices[0].message.content)
    history = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What does exit code 2 mean?"},
               {"role": "assistant", "content": "Wrong usage [1]."}, ASK["messages"][0]]
    reply = client.chat.completions.create(model="rag-api", messages=history, user="u", n=1, temperature=0.2, max_tokens=200)
    check("history", "4,000" in reply.choices[0].message.content)
    reply = client.chat.completions.create(**ASK, extra_body={"rag": {"top_k": 1, "mode": "keyword"}})
    check("extra_body rag", len(reply.rag["contexts"]) == 1)
    no = client.chat.completions.create(model="rag-api", messages=[
        {"role": "user", "content": "What is the boundary layer thickness of a slender wing?"}])
    check("no evidence", no.rag["metadata"]["grounded"] is False and no.rag["citations"] == [])


def streams(client):
    chunks = list(client.chat.completions.create(**ASK, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    check("stream", "4,000" in text and "[1]" in text, text)
    check("stream role", chunks[0].choices[0].delta.role == "assistant")
    check("stream finish_reason", chunks[-1].choices[0].finish_reason == "stop")
    check("stream citations", chunks[-1].rag["citations"][0]["quote"] != "")
    check("stream one id", len({chunk.id for chunk in chunks}) == 1)
    check("stream without usage", all(chunk.usage is None for chunk in chunks))
    chunks = list(client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True}))
    check("stream usage", chunks[-1].usage is not None and chunks[-1].choices == [])
    with client.chat.completions.stream(**ASK) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    check("stream helper", "content.done" in kinds and "4,000" in final.choices[0].message.content, kinds)
    with client.chat.completions.create(**ASK, stream=True) as stream:
        next(iter(stream))
    check("stream left early", True)


def embeddings(client):
    name = "sentence-transformers/all-MiniLM-L6-v2"
    one = client.embeddings.create(model="all-MiniLM-L6-v2", input="A question.")
    vector = one.data[0].embedding
    check("embedding", len(vector) == 384 and abs(sum(x * x for x in vector) - 1) < 1e-3)
    check("embedding usage", one.usage.prompt_tokens == one.usage.total_tokens > 3, one.usage)
    many = client.embeddings.create(model=name, input=["A question.", "別の文", "x " * 100], encoding_format="float")
    check("embeddings", [row.index for row in many.data] == [0, 1, 2] and len(many.data[1].embedding) == 384)
    check("embeddings agree", max(abs(a - b) for a, b in zip(vector, many.data[0].embedding)) < 1e-6)
    raw = client.embeddings.with_raw_response.create(model=name, input="A question.", encoding_format="base64")
    text = raw.http_response.json()["data"][0]["embedding"]
    check("base64", max(abs(a - b) for a, b in zip(vector, struct.unpack("<384f", base64.b64decode(text)))) == 0)
    for label, call, code, param in [
        ("embeddings of tokens", dict(input=[1, 2, 3]), "invalid_value", "input"),
        ("embeddings of nothing", dict(input=[]), "invalid_value", "input"),
        ("embeddings of blanks", dict(input=" "), "invalid_value", "input"),
        ("embeddings too long", dict(input="word " * 300), "invalid_value", "input[0]"),
        ("embeddings of other size", dict(input="x", dimensions=256), "invalid_value", "dimensions"),
    ]:
        refused(label, openai.BadRequestError, lambda: client.embeddings.create(model=name, **call), code=code, param=param)
    refused("embeddings of another model", openai.NotFoundError,
            lambda: client.embeddings.create(model="text-embedding-3-small", input="x"), code="model_not_found", param="model")


def refusals(client):
    create = client.chat.completions.create
    for name, value in [("n", 2), ("logprobs", True), ("stop", ["x"]), ("seed", 7), ("top_p", 0.5),
                        ("presence_penalty", 1.0), ("reasoning_effort", "low"), ("response_format", {"type": "json_object"}),
                        ("tools", [{"type": "function", "function": {"name": "f", "parameters": {}}}]),
                        ("logit_bias", {"50256": -100}), ("web_search_options", {})]:
        if name == "web_search_options":
            continue
        refused(f"unsupported {name}", openai.BadRequestError, lambda: create(**ASK, **{name: value}),
                code="unsupported_parameter", param=name, type="invalid_request_error")
    refused("no messages", openai.BadRequestError, lambda: create(model="rag-api", messages=[]), param="messages")
    image = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    refused("an image", openai.BadRequestError,
            lambda: create(model="rag-api", messages=[{"role": "user", "content": image}]), param="messages[0].content")
    refused("last turn not the user's", openai.BadRequestError,
            lambda: create(model="rag-api", messages=[{"role": "assistant", "content": "x"}]), param="messages")
    refused("another route", openai.NotFoundError, lambda: client.responses.create(model="rag-api", input="x"))
    long = [{"role": "user", "content": "x" * 4_001}]
    refused("question too long", openai.BadRequestError, lambda: create(model="rag-api", messages=long), param="messages")


async def together(client):
    replies = await asyncio.gather(*(client.chat.completions.create(**ASK) for _ in range(8)))
    check("async, eight at once", all("4,000" in reply.choices[0].message.content for reply in replies))
    stream = await client.chat.completions.create(**ASK, stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    check("async stream", "4,000" in text)
    vectors = await client.embeddings.create(model="all-MiniLM-L6-v2", input=["a", "b"])
    check("async embeddings", len(vectors.data) == 2)


def main():
    client = openai.OpenAI(base_url=BASE_URL, api_key="any", max_retries=0)
    for part in (models, completions, streams, embeddings, refusals):
        part(client)
    asyncio.run(together(openai.AsyncOpenAI(base_url=BASE_URL, api_key="any", max_retries=0)))
    print(f"{passed} calls passed, {failed} failed")
    sys.exit(failed > 0)


main()
