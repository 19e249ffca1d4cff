"""Drives Microsoft's azure-search-documents against the emulator: `azure_search_client.py ADDRESS`.

One line a call; the last line counts what passed, what was refused as not emulated, and what failed.
"""

import math
import sys
import traceback

from azure.core import MatchConditions
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.search.documents import SearchClient, SearchIndexingBufferedSender
from azure.search.documents.indexes import SearchIndexClient
from azure.search.documents.indexes import models as m
from azure.search.documents.models import VectorizableTextQuery, VectorizedQuery

address = sys.argv[1]
ADMIN, QUERY = AzureKeyCredential("admin-key"), AzureKeyCredential("query-key")
NAME, DIMENSIONS = "rag-chunks-v1", 384
admin = SearchIndexClient(address, ADMIN)
docs = SearchClient(address, NAME, ADMIN)
passed, refused, failed = 0, 0, 0


def call(what, work):
    global passed, failed
    try:
        work()
        passed += 1
        print(f"ok       {what}")
    except Exception:  # every failure is one line and the run goes on
        failed += 1
        print(f"FAILED   {what}\n{traceback.format_exc()}")


def not_emulated(what, work):
    global refused, failed
    try:
        work()
        failed += 1
        print(f"FAILED   {what}: it was not refused")
    except HttpResponseError as error:
        if error.status_code == 400 and "is not emulated" in str(error.message):
            refused += 1
            print(f"refused  {what}")
        else:
            failed += 1
            print(f"FAILED   {what}: {error}")


def raises(kind, status, work):
    try:
        work()
    except kind as error:
        assert error.status_code == status, error
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def vector(angle):
    return [math.cos(angle), math.sin(angle)] + [0.0] * (DIMENSIONS - 2)


def definition(name=NAME, stored=False):
    f, t = m.SearchField, m.SearchFieldDataType
    return m.SearchIndex(
        name=name,
        description="chunks of documents for hybrid retrieval",
        fields=[
            f(name="id", type=t.STRING, key=True, searchable=False, filterable=True, facetable=False, sortable=True),
            f(name="content", type=t.STRING, searchable=True, filterable=False, facetable=False, sortable=False,
              analyzer_name="standard.lucene"),
            f(name="title", type=t.STRING, searchable=True, filterable=True, facetable=False, sortable=False),
            f(name="source", type=t.STRING, searchable=False, filterable=True, facetable=True, sortable=False),
            f(name="chunk", type=t.INT32, filterable=True, facetable=False, sortable=True),
            f(name="tags", type=t.Collection(t.STRING), searchable=False, filterable=True, facetable=True),
            f(name="group_ids", type=t.Collection(t.STRING), searchable=False, filterable=True, facetable=False,
              hidden=True),
            f(name="updated_at", type=t.DATE_TIME_OFFSET, filterable=True, facetable=False, sortable=True),
            f(name="content_vector", type=t.Collection(t.SINGLE), searchable=True, hidden=True, stored=stored,
              vector_search_dimensions=DIMENSIONS, vector_search_profile_name="hnsw-cosine-sq"),
        ],
        vector_search=m.VectorSearch(
            profiles=[m.VectorSearchProfile(name="hnsw-cosine-sq", algorithm_configuration_name="hnsw-cosine",
                                            compression_name="sq8")],
            algorithms=[m.HnswAlgorithmConfiguration(
                name="hnsw-cosine",
                parameters=m.HnswParameters(m=4, ef_construction=400, ef_search=500, metric="cosine"))],
            compressions=[m.ScalarQuantizationCompression(
                compression_name="sq8", parameters=m.ScalarQuantizationParameters(quantized_data_type="int8"),
                rescoring_options=m.RescoringOptions(enable_rescoring=True, default_oversampling=4.0,
                                                     rescore_storage_method="preserveOriginals"))],
        ),
        semantic_search=m.SemanticSearch(
            default_configuration_name="rag-semantic",
            configurations=[m.SemanticConfiguration(
                name="rag-semantic",
                prioritized_fields=m.SemanticPrioritizedFields(
                    title_field=m.SemanticField(field_name="title"),
                    content_fields=[m.SemanticField(field_name="content")],
                    keywords_fields=[m.SemanticField(field_name="tags")]))],
        ),
        similarity=m.BM25SimilarityAlgorithm(k1=1.2, b=0.75),
    )


def chunk(number, **others):
    return {"id": f"doc-{number}", "content": f"chunk number {number} about vector search", "title": "Guide",
            "source": "guide.md" if number % 2 else "faq.md", "chunk": number, "tags": ["search", "rag"],
            "group_ids": ["g1"], "updated_at": "2026-11-20T10:00:00Z", "content_vector": vector(number / 100), **others}


def same(found, wanted):
    assert found == wanted, f"{found!r} is not {wanted!r}"


def ids(results):
    return [hit["id"] for hit in results]


# Indexes.

def create():
    index = admin.create_index(definition())
    same(index.name, NAME)
    same(index.fields[0].key, True)
    assert index.e_tag.startswith('"0x'), index.e_tag


call("create index", create)
call("create index: it exists", lambda: raises(ResourceExistsError, 409, lambda: admin.create_index(definition())))
call("get index", lambda: same([f.name for f in admin.get_index(NAME).fields][-1], "content_vector"))
call("get index: missing", lambda: raises(ResourceNotFoundError, 404, lambda: admin.get_index("nope")))
call("create or update index: new", lambda: same(admin.create_or_update_index(definition("other")).name, "other"))
call("create or update index: unchanged", lambda: admin.create_or_update_index(admin.get_index("other")))
call("create or update index: allow downtime",
     lambda: admin.create_or_update_index(definition("other"), allow_index_downtime=True))


def conditional_update():
    old = admin.get_index("other")
    new = admin.create_or_update_index(old, match_condition=MatchConditions.IfNotModified)
    assert new.e_tag != old.e_tag
    raises(ResourceModifiedError, 412,
           lambda: admin.create_or_update_index(old, match_condition=MatchConditions.IfNotModified))
    raises(ResourceModifiedError, 412,
           lambda: admin.delete_index(old, match_condition=MatchConditions.IfNotModified))


def changed_field():
    error = raises(HttpResponseError, 400, lambda: admin.create_or_update_index(definition(stored=True)))
    same(error.error.details[0].code, "CannotChangeExistingField")


def more_fields():
    index = admin.get_index(NAME)
    index.fields.append(m.SearchField(name="language", type="Edm.String", filterable=True))
    same(len(admin.create_or_update_index(index).fields), 10)


call("create or update index: conditions", conditional_update)
call("create or update index: a field cannot change", changed_field)
call("list indexes", lambda: same([i.name for i in admin.list_indexes()], ["other", NAME]))
call("list index names", lambda: same(list(admin.list_index_names()), ["other", NAME]))
call("delete index", lambda: admin.delete_index("other"))
call("delete index: missing is fine", lambda: admin.delete_index("other"))


def bad_index(change):
    index = definition("bad")
    change(index)
    return raises(HttpResponseError, 400, lambda: admin.create_index(index))


call("create index: no dimensions",
     lambda: bad_index(lambda i: setattr(i.fields[-1], "vector_search_dimensions", None)))
call("create index: unknown profile",
     lambda: bad_index(lambda i: setattr(i.fields[-1], "vector_search_profile_name", "nope")))
call("create index: not stored but retrievable",
     lambda: bad_index(lambda i: setattr(i.fields[-1], "retrievable", True)))


def tokens():
    found = admin.analyze_text(
        NAME, m.AnalyzeTextOptions(text="The Quick-brown fox's 2.5 km", analyzer_name="standard.lucene")).tokens
    same([t.token for t in found][:3], ["the", "quick", "brown"])
    same((found[1].start_offset, found[1].end_offset, found[1].position), (4, 9, 1))


call("analyze text", tokens)

# Documents.

call("upload documents", lambda: same(
    [(r.succeeded, r.status_code) for r in docs.upload_documents([chunk(n) for n in range(1, 4)])], [(True, 201)] * 3))
call("upload documents: replaced", lambda: same(docs.upload_documents([chunk(1)])[0].status_code, 200))
call("merge documents: one is missing", lambda: same(
    [(r.status_code, r.error_message) for r in
     docs.merge_documents([{"id": "1000", "title": "x"}, {"id": "doc-1", "title": "Guide y"}])],
    [(404, "Document not found."), (200, None)]))
call("merge or upload documents", lambda: same(
    [r.status_code for r in docs.merge_or_upload_documents([{"id": "doc-1", "title": "Guide"}, chunk(4)])], [200, 201]))
call("get document", lambda: same(docs.get_document("doc-1"), {
    "id": "doc-1", "content": "chunk number 1 about vector search", "title": "Guide", "source": "guide.md", "chunk": 1,
    "tags": ["search", "rag"], "updated_at": "2026-11-20T10:00:00Z"}))
call("get document: selected", lambda: same(
    docs.get_document("doc-2", selected_fields=["id", "title"]), {"id": "doc-2", "title": "Guide"}))
call("get document: missing", lambda: raises(ResourceNotFoundError, 404, lambda: docs.get_document("nope")))
call("count documents", lambda: same(docs.get_document_count(), 4))
call("upload: no key", lambda: same(
    raises(HttpResponseError, 400, lambda: docs.upload_documents([{"title": "x"}])).error.details[0].code,
    "MissingKeyField"))
call("upload: bad key", lambda: same(
    raises(HttpResponseError, 400, lambda: docs.upload_documents([chunk(1, id="_a")])).error.details[0].code,
    "InvalidDocumentKey"))
call("upload: wrong length of a vector", lambda: raises(
    HttpResponseError, 400, lambda: docs.upload_documents([chunk(1, content_vector=[0.1, 0.2, 0.3])])))
call("upload: unknown field", lambda: raises(
    HttpResponseError, 400, lambda: docs.upload_documents([chunk(1, nope=1)])))
call("delete documents", lambda: same(
    [(r.key, r.succeeded) for r in docs.delete_documents([{"id": "doc-4"}, {"id": "never-there"}])],
    [("doc-4", True), ("never-there", True)]))


def mixed():
    from azure.search.documents.models import IndexDocumentsBatch
    batch = IndexDocumentsBatch()
    batch.add_upload_actions([chunk(4)])
    batch.add_merge_actions([{"id": "doc-2", "chunk": 9}])
    batch.add_merge_or_upload_actions([{"id": "doc-5", "title": "t"}])
    batch.add_delete_actions([{"id": "doc-3"}])
    same([r.status_code for r in docs.index_documents(batch)], [201, 200, 201, 200])
    docs.delete_documents([{"id": "doc-5"}, {"id": "doc-4"}])
    docs.upload_documents([chunk(2), chunk(3)])


call("index documents: a mixed batch", mixed)


def buffered():
    with SearchIndexingBufferedSender(address, NAME, ADMIN) as sender:
        sender.upload_documents([chunk(n) for n in range(100, 160)])
    same(docs.get_document_count(), 63)


call("buffered sender", buffered)
call("create or update index: more fields, with documents", more_fields)

# Searches.


def vq(angle=0.01, k=3, **others):
    return VectorizedQuery(vector=vector(angle), k_nearest_neighbors=k, fields="content_vector", **others)


def text():
    found = list(docs.search("number 2", top=5))
    same(found[0]["id"], "doc-2")
    assert found[0]["@search.score"] > found[1]["@search.score"]


def everything():
    found = docs.search("*", include_total_count=True, filter="chunk lt 100", order_by=["chunk desc"])
    same(found.get_count(), 3)
    hits = list(found)
    same(ids(hits), ["doc-3", "doc-2", "doc-1"])
    same({hit["@search.score"] for hit in hits}, {1.0})


def only_vector():
    found = list(docs.search(None, vector_queries=[vq()], select=["id", "title"], top=3))
    same(ids(found), ["doc-1", "doc-2", "doc-3"])
    assert abs(found[1]["@search.score"] - 1 / (2 - math.cos(0.01))) < 1e-6
    assert "content" not in found[0]


def hybrid():
    found = list(docs.search("number 1", vector_queries=[vq()], select=["id"], top=5))
    same((found[0]["id"], found[0]["@search.score"]), ("doc-1", 0.03333333507180214))


def hybrid_filtered():
    found = docs.search(
        "number 1", vector_queries=[vq(k=50, weight=2.0, exhaustive=False, oversampling=4.0)], query_type="simple",
        filter="source eq 'guide.md' and tags/any(t: t eq 'rag') and group_ids/any(g: search.in(g, 'g1,g2'))",
        vector_filter_mode="preFilter", search_fields=["content", "title"], search_mode="any",
        select=["id", "chunk"], include_total_count=True, skip=0, top=10)
    hits = list(found)
    same((hits[0]["id"], hits[0]["@search.score"]), ("doc-1", 0.05000000447034836))
    assert all(hit["chunk"] % 2 for hit in hits)


def post_filter():
    same(ids(docs.search(None, vector_queries=[vq(k=2)], filter="chunk gt 1", vector_filter_mode="strictPostFilter")),
         ["doc-2"])
    same(ids(docs.search(None, vector_queries=[vq(k=2)], filter="chunk gt 1")), ["doc-2", "doc-3"])


def paging():
    found = docs.search("vector", include_total_count=True)
    same(found.get_count(), 63)
    seen = ids(found)
    same((len(seen), len(set(seen))), (63, 63))
    same([len(list(page)) for page in docs.search("vector").by_page()], [50, 13])


def facets():
    found = docs.search("*", facets=["source,count:10", "tags,sort:value"], top=0)
    same(found.get_facets(), {
        "source": [{"count": 32, "value": "guide.md"}, {"count": 31, "value": "faq.md"}],
        "tags": [{"count": 63, "value": "rag"}, {"count": 63, "value": "search"}]})


def highlights():
    found = next(docs.search("vector", highlight_fields="content-3", highlight_pre_tag="<b>", highlight_post_tag="</b>"))
    assert "about <b>vector</b> search" in found["@search.highlights"]["content"][0]


def debug():
    found = next(docs.search("number 1", vector_queries=[vq()], debug="vector"))
    scores = found["@search.document_debug_info"]["vectors"]["subscores"]
    same(scores["documentBoost"], 1)
    assert scores["text"]["searchScore"] > 0
    assert abs(scores["vectors"][0]["content_vector"]["vectorSimilarity"] - 1) < 1e-6


def coverage():
    found = docs.search("*", minimum_coverage=90, scoring_statistics="global", session_id="s1", top=1)
    same(found.get_coverage(), 100)


def bad_search(words, **parameters):
    error = raises(HttpResponseError, 400, lambda: list(docs.search("*", **parameters)))
    assert words in str(error), error


call("search: text", text)
call("search: everything, count, filter, order", everything)
call("search: all words", lambda: same(
    ids(docs.search("number +2 -3", search_mode="all", filter="chunk lt 100")), ["doc-2"]))
call("search: vector", only_vector)
call("search: hybrid", hybrid)
call("search: hybrid with filter and count", hybrid_filtered)
call("search: filter before and after", post_filter)
call("search: pages", paging)
call("search: facets", facets)
call("search: highlights", highlights)
call("search: debug", debug)
call("search: coverage", coverage)
call("search: dates", lambda: same(
    ids(docs.search("*", filter="updated_at ge 2026-11-20T11:00:00+01:00 and chunk eq 1")), ["doc-1"]))
call("search: bad filter", lambda: bad_search(
    "Invalid expression: Syntax error at position 7 in 'This is not a valid filter.'",
    filter="This is not a valid filter."))
call("search: unknown select", lambda: bad_search("Could not find a property named 'url'", select=["url"]))
call("search: hidden select", lambda: bad_search("is not a retrievable field", select=["group_ids"]))
call("search: short semantic wait", lambda: bad_search(
    "needs to be larger than 750", query_type="semantic", semantic_configuration_name="rag-semantic",
    semantic_max_wait_in_milliseconds=700))
call("search: missing index", lambda: raises(
    ResourceNotFoundError, 404, lambda: list(SearchClient(address, "nope", ADMIN).search("q"))))

# Aliases, statistics, keys.

live = SearchClient(address, "live", ADMIN)
call("create alias", lambda: same(
    admin.create_alias(m.SearchAlias(name="live", indexes=[NAME])).indexes, [NAME]))
call("create or update alias", lambda: same(
    admin.create_or_update_alias(m.SearchAlias(name="live", indexes=[NAME])).name, "live"))
call("get alias", lambda: same(admin.get_alias("live").indexes, [NAME]))
call("list aliases", lambda: same([a.name for a in admin.list_aliases()], ["live"]))
call("list alias names", lambda: same(list(admin.list_alias_names()), ["live"]))
call("an alias stands for its index", lambda: same(live.get_document_count(), 63))
call("an alias stands for its index in searches", lambda: same(ids(live.search("*", filter="chunk eq 2")), ["doc-2"]))
call("delete alias", lambda: admin.delete_alias("live"))
call("get alias: missing", lambda: raises(ResourceNotFoundError, 404, lambda: admin.get_alias("live")))


def statistics():
    found = admin.get_index_statistics(NAME)
    same((found.document_count, found.vector_index_size), (63, 63 * DIMENSIONS * 4))
    assert found.storage_size > 0


call("index statistics", statistics)
call("service statistics", lambda: same(admin.get_service_statistics().counters.document_counter.usage, 63))
call("query key: search", lambda: same(
    ids(SearchClient(address, NAME, QUERY).search("*", filter="chunk eq 1")), ["doc-1"]))
call("query key: no writing", lambda: raises(
    HttpResponseError, 403, lambda: SearchClient(address, NAME, QUERY).upload_documents([chunk(1)])))
call("wrong key", lambda: raises(
    HttpResponseError, 403, lambda: SearchClient(address, NAME, AzureKeyCredential("x")).get_document_count()))

# What is not emulated says so.


def with_change(change):
    index = definition("bad")
    change(index)
    return lambda: admin.create_index(index)


not_emulated("full queries", lambda: list(docs.search("title:guide AND \"vector search\"~3", query_type="full")))
not_emulated("semantic ranking", lambda: list(docs.search(
    "luxury", query_type="semantic", semantic_configuration_name="rag-semantic", query_answer="extractive",
    query_caption="extractive")))
not_emulated("vectorizable text", lambda: list(docs.search(
    "q", vector_queries=[VectorizableTextQuery(text="q", k_nearest_neighbors=3, fields="content_vector")])))
not_emulated("scoring profile", lambda: list(docs.search("q", scoring_profile="fresh")))
not_emulated("suggest", lambda: docs.suggest("vec", "sg"))
not_emulated("autocomplete", lambda: docs.autocomplete("vec", "sg"))
not_emulated("geography", lambda: list(docs.search("*", filter="geo.distance(source, 'x') lt 5")))
not_emulated("synonym maps", lambda: admin.create_synonym_map(m.SynonymMap(name="s", synonyms=["a,b"])))
not_emulated("knowledge bases", lambda: list(admin.list_knowledge_bases()))
not_emulated("knowledge sources", lambda: list(admin.list_knowledge_sources()))
not_emulated("suggesters", with_change(lambda i: setattr(
    i, "suggesters", [m.SearchSuggester(name="sg", source_fields=["title"])])))
not_emulated("scoring profiles in a definition", with_change(lambda i: setattr(
    i, "scoring_profiles", [m.ScoringProfile(name="fresh")])))
not_emulated("complex fields", with_change(lambda i: i.fields.append(m.ComplexField(
    name="address", fields=[m.SearchField(name="city", type="Edm.String")]))))
not_emulated("euclidean distance", with_change(lambda i: setattr(
    i.vector_search.algorithms[0].parameters, "metric", "euclidean")))
not_emulated("custom analyzers", with_change(lambda i: setattr(
    i, "analyzers", [m.CustomAnalyzer(name="a", tokenizer_name="standard_v2")])))

call("delete index with its documents", lambda: admin.delete_index(NAME))
call("it is gone", lambda: raises(ResourceNotFoundError, 404, lambda: docs.get_document_count()))

print(f"{passed} calls passed, {refused} refused as not emulated, {failed} failed")
sys.exit(1 if failed else 0)
