//! The sections of a definition beside its fields: similarity, semantic and vector search.

use serde_json::{Map, Value};

use super::super::{
    json::{Json, list, object},
    members::Members,
    refusal::Refusal,
};

/// BM25; the table's own k1 of 1.2 and b of 0.75 are all there is.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::emulator) struct Similarity {
    k1: Option<f64>,
    b: Option<f64>,
}

/// Accepted, checked and kept, though no query uses it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::emulator) struct Semantic {
    default: Option<String>,
    configurations: Vec<SemanticConfiguration>,
}

#[derive(Debug, Clone, PartialEq)]
struct SemanticConfiguration {
    name: String,
    order: Option<String>,
    title: Option<String>,
    content: Vec<String>,
    keywords: Vec<String>,
}

/// Only exact search by cosine is done, whatever the algorithm and compression say.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::emulator) struct VectorSearch {
    algorithms: Vec<Algorithm>,
    pub(in crate::emulator) profiles: Vec<Profile>,
    compressions: Vec<(String, Value)>,
}

#[derive(Debug, Clone, PartialEq)]
struct Algorithm {
    name: String,
    hnsw: Option<[i64; 3]>,
}

#[derive(Debug, Clone, PartialEq)]
pub(in crate::emulator) struct Profile {
    pub(in crate::emulator) name: String,
    algorithm: String,
    compression: Option<String>,
}

const BM25: &str = "#Microsoft.Azure.Search.BM25Similarity";

impl Similarity {
    pub(super) fn read(map: Option<&Map<String, Value>>) -> Result<Self, Refusal> {
        let Some(map) = map else { return Ok(Self::default()) };
        let members = Members::new(map);
        match members.text("@odata.type").map_err(invalid)? {
            None | Some(BM25) => {}
            Some(other) => return Err(Refusal::not_emulated(format!("The similarity '{other}'"))),
        }
        let similarity =
            Self { k1: members.number("k1").map_err(invalid)?, b: members.number("b").map_err(invalid)? };
        if similarity.k1.is_some_and(|k1| k1 != 1.2) || similarity.b.is_some_and(|b| b != 0.75) {
            return Err(Refusal::not_emulated("BM25 with another k1 than 1.2 or another b than 0.75"));
        }
        Ok(similarity)
    }

    pub(super) fn write(&self) -> Json {
        object([("@odata.type", BM25.into()), ("k1", self.k1.into()), ("b", self.b.into())])
    }
}

impl Semantic {
    pub(super) fn read(map: &Map<String, Value>) -> Result<Self, Refusal> {
        let members = Members::new(map);
        let configurations = members.objects("configurations").map_err(invalid)?;
        let semantic = Self {
            default: members.text("defaultConfiguration").map_err(invalid)?.map(str::to_owned),
            configurations: configurations.into_iter().map(configuration).collect::<Result<_, _>>()?,
        };
        if semantic.configurations.len() > 100 {
            return Err(invalid("At most 100 semantic configurations are allowed.".to_owned()));
        }
        if let Some(default) = &semantic.default
            && !semantic.configurations.iter().any(|known| known.name == *default)
        {
            return Err(invalid(format!("The default semantic configuration '{default}' is not defined.")));
        }
        Ok(semantic)
    }

    /// Every field that is named anywhere.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.configurations.iter().flat_map(|known| {
            known.title.iter().chain(&known.content).chain(&known.keywords).map(String::as_str)
        })
    }

    pub(super) fn write(&self) -> Json {
        let field = |name: &String| object([("fieldName", name.clone().into())]);
        let configurations = self.configurations.iter().map(|known| {
            object([
                ("name", known.name.clone().into()),
                ("rankingOrder", known.order.clone().into()),
                (
                    "prioritizedFields",
                    object([
                        ("titleField", known.title.as_ref().map(field).into()),
                        ("prioritizedContentFields", list(known.content.iter().map(field))),
                        ("prioritizedKeywordsFields", list(known.keywords.iter().map(field))),
                    ]),
                ),
            ])
        });
        object([
            ("defaultConfiguration", self.default.clone().into()),
            ("configurations", list(configurations)),
        ])
    }
}

fn configuration(map: &Map<String, Value>) -> Result<SemanticConfiguration, Refusal> {
    let members = Members::new(map);
    let name = named(&members, "semantic configuration")?;
    let order = members.text("rankingOrder").map_err(invalid)?.map(str::to_owned);
    if order
        .as_ref()
        .is_some_and(|order| !["BoostedRerankerScore", "RerankerScore"].contains(&order.as_str()))
    {
        return Err(invalid(format!("The rankingOrder of the semantic configuration '{name}' is unknown.")));
    }
    let empty = Map::new();
    let fields = Members::new(members.object("prioritizedFields").map_err(invalid)?.unwrap_or(&empty));
    let name_of = |map: &Map<String, Value>| match Members::new(map).text("fieldName") {
        Ok(Some(name)) => Ok(name.to_owned()),
        _ => Err(invalid(format!("The semantic configuration '{name}' needs a fieldName for each field."))),
    };
    let names = |list: Vec<&Map<String, Value>>| list.into_iter().map(name_of).collect::<Result<_, _>>();
    Ok(SemanticConfiguration {
        order,
        title: fields.object("titleField").map_err(invalid)?.map(name_of).transpose()?,
        content: names(fields.objects("prioritizedContentFields").map_err(invalid)?)?,
        keywords: names(fields.objects("prioritizedKeywordsFields").map_err(invalid)?)?,
        name,
    })
}

impl VectorSearch {
    pub(super) fn read(map: &Map<String, Value>) -> Result<Self, Refusal> {
        let members = Members::new(map);
        if !members.list("vectorizers").map_err(invalid)?.is_empty() {
            return Err(Refusal::not_emulated("A vectorizer"));
        }
        let objects = |name| members.objects(name).map_err(invalid);
        let search = Self {
            algorithms: objects("algorithms")?.into_iter().map(algorithm).collect::<Result<_, _>>()?,
            profiles: objects("profiles")?.into_iter().map(profile).collect::<Result<_, _>>()?,
            compressions: objects("compressions")?.into_iter().map(compression).collect::<Result<_, _>>()?,
        };
        if let Some(name) = members.unknown() {
            return Err(Refusal::not_emulated(format!("The member '{name}' of vectorSearch")));
        }
        for Profile { name, algorithm, compression } in &search.profiles {
            if !search.algorithms.iter().any(|known| known.name == *algorithm) {
                return Err(Refusal::definition(
                    "UnknownVectorAlgorithmConfiguration",
                    format!(
                        "The vector search profile '{name}' uses the algorithm '{algorithm}' which is not defined."
                    ),
                ));
            }
            if let Some(compression) = compression
                && !search.compressions.iter().any(|(known, _)| known == compression)
            {
                return Err(invalid(format!(
                    "The vector search profile '{name}' uses the compression '{compression}' which is not defined."
                )));
            }
        }
        Ok(search)
    }

    pub(super) fn write(&self) -> Json {
        let algorithms = self.algorithms.iter().map(|algorithm| {
            let cosine = ("metric", "cosine".into());
            let (kind, hnsw, exhaustive) = match algorithm.hnsw {
                Some([m, construction, search]) => {
                    let parameters = object([
                        cosine,
                        ("m", m.into()),
                        ("efConstruction", construction.into()),
                        ("efSearch", search.into()),
                    ]);
                    ("hnsw", parameters, Json::Null)
                }
                None => ("exhaustiveKnn", Json::Null, object([cosine])),
            };
            object([
                ("name", algorithm.name.clone().into()),
                ("kind", kind.into()),
                ("hnswParameters", hnsw),
                ("exhaustiveKnnParameters", exhaustive),
            ])
        });
        let profiles = self.profiles.iter().map(|profile| {
            object([
                ("name", profile.name.clone().into()),
                ("algorithm", profile.algorithm.clone().into()),
                ("vectorizer", Json::Null),
                ("compression", profile.compression.clone().into()),
            ])
        });
        object([
            ("algorithms", list(algorithms)),
            ("profiles", list(profiles)),
            ("vectorizers", Json::List(Vec::new())),
            ("compressions", list(self.compressions.iter().map(|(_, value)| write_compression(value)))),
        ])
    }
}

fn algorithm(map: &Map<String, Value>) -> Result<Algorithm, Refusal> {
    let members = Members::new(map);
    let name = named(&members, "vector search algorithm")?;
    let empty = Map::new();
    let hnsw = Members::new(members.object("hnswParameters").map_err(invalid)?.unwrap_or(&empty));
    let exhaustive =
        Members::new(members.object("exhaustiveKnnParameters").map_err(invalid)?.unwrap_or(&empty));
    let (metric, hnsw) = match members.text("kind").map_err(invalid)? {
        Some("hnsw") => {
            let bounded = |member, default, least, most| {
                let value = hnsw.integer(member).map_err(invalid)?.unwrap_or(default);
                if (least..=most).contains(&value) {
                    return Ok(value);
                }
                Err(invalid(format!("The parameter '{member}' of '{name}' must be from {least} to {most}.")))
            };
            let numbers = [
                bounded("m", 4, 4, 10)?,
                bounded("efConstruction", 400, 100, 1_000)?,
                bounded("efSearch", 500, 100, 1_000)?,
            ];
            (hnsw.text("metric"), Some(numbers))
        }
        Some("exhaustiveKnn") => (exhaustive.text("metric"), None),
        _ => {
            return Err(invalid(format!(
                "The kind of the algorithm '{name}' must be hnsw or exhaustiveKnn."
            )));
        }
    };
    match metric.map_err(invalid)? {
        None | Some("cosine") => Ok(Algorithm { name, hnsw }),
        Some(metric @ ("dotProduct" | "euclidean" | "hamming")) => {
            Err(Refusal::not_emulated(format!("The vector metric '{metric}'")))
        }
        Some(metric) => Err(invalid(format!("The metric '{metric}' of '{name}' is unknown."))),
    }
}

fn profile(map: &Map<String, Value>) -> Result<Profile, Refusal> {
    let members = Members::new(map);
    let name = named(&members, "vector search profile")?;
    if members.value("vectorizer").is_some() {
        return Err(Refusal::not_emulated("A vectorizer"));
    }
    let Some(algorithm) = members.text("algorithm").map_err(invalid)? else {
        return Err(invalid(format!("The vector search profile '{name}' needs an algorithm.")));
    };
    Ok(Profile {
        algorithm: algorithm.to_owned(),
        compression: members.text("compression").map_err(invalid)?.map(str::to_owned),
        name,
    })
}

fn compression(map: &Map<String, Value>) -> Result<(String, Value), Refusal> {
    let members = Members::new(map);
    let name = named(&members, "vector compression")?;
    match members.text("kind").map_err(invalid)? {
        Some("scalarQuantization" | "binaryQuantization") => Ok((name, Value::Object(map.clone()))),
        _ => Err(invalid(format!(
            "The kind of the compression '{name}' must be scalarQuantization or binaryQuantization."
        ))),
    }
}

fn write_compression(value: &Value) -> Json {
    let member = |name: &str| value.get(name).cloned().unwrap_or(Value::Null);
    let mut members: Vec<(String, Json)> =
        ["name", "kind", "truncationDimension"].map(|name| (name.to_owned(), member(name).into())).into();
    if value["kind"] == "scalarQuantization" {
        members
            .push(("scalarQuantizationParameters".to_owned(), member("scalarQuantizationParameters").into()));
    }
    let rescoring = member("rescoringOptions");
    let options = ["enableRescoring", "defaultOversampling", "rescoreStorageMethod"];
    let options = options.map(|name| (name.to_owned(), Json::from(rescoring.get(name).cloned())));
    let rescoring = if rescoring.is_null() { Json::Null } else { Json::Object(options.into()) };
    members.push(("rescoringOptions".to_owned(), rescoring));
    Json::Object(members)
}

fn named(members: &Members<'_>, kind: &str) -> Result<String, Refusal> {
    match members.text("name").map_err(invalid)? {
        Some(name) if !name.is_empty() && name.len() <= 128 => Ok(name.to_owned()),
        _ => Err(invalid(format!("Each {kind} needs a name of 1 to 128 characters."))),
    }
}

fn invalid(message: String) -> Refusal {
    Refusal::definition("InvalidDefinition", message)
}
