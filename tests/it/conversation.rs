//! Questions that lean on the conversation before them, over HTTP.

use serde_json::{Value, json};

use crate::{
    openai_server::{Server, success},
    sample_app::App,
};

fn follow_up() -> Value {
    json!({"question": "And which one means that the work failed?", "history": [
        {"role": "user", "content": "Which exit code means wrong usage?"},
        {"role": "assistant", "content": "Exit code 2 [1]."}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_model_words_of_the_conversation_are_added_and_both_forms_are_told() {
    let app = App::start(None, &[]).await;
    let reply: Value = app.post(follow_up()).await.json().await.unwrap();
    let metadata = &reply["metadata"];
    assert_eq!(metadata["question"], "And which one means that the work failed?");
    let rewritten = metadata["rewritten_question"].as_str().unwrap();
    assert!(rewritten.contains("exit") && rewritten.contains("code"), "{rewritten}");
    assert!(reply["answer"].as_str().unwrap().contains("exit code 1"), "{}", reply["answer"]);

    let alone =
        json!({"question": "How many characters may a question have?", "history": follow_up()["history"]});
    let reply: Value = app.post(alone).await.json().await.unwrap();
    assert!(reply["metadata"].get("rewritten_question").is_none(), "{}", reply["metadata"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_rewrites_the_question_and_sees_the_conversation_when_it_answers() {
    let rewritten = "Which exit code means that the work failed?";
    let answers = [success(rewritten), success("Exit code 1 means that the work failed [1].")];
    let llm = Server::start(answers).await;
    let app = App::start(Some(&llm), &[("OPENAI_STRUCTURED_OUTPUT", "off")]).await;
    let reply: Value = app.post(follow_up()).await.json().await.unwrap();
    assert_eq!(reply["metadata"]["rewritten_question"], rewritten);
    assert_eq!(reply["metadata"]["usage"]["total_tokens"], 220, "both requests count");
    assert_eq!(llm.count(), 2);
    let sent = llm.bodies().pop().unwrap()["messages"].to_string();
    assert!(sent.contains("Which exit code means wrong usage?"), "{sent}");

    // What is no question is not believed.
    let llm = Server::start([success("I cannot help with that.\nSorry."), success("Exit code 1 [1].")]).await;
    let app = App::start(Some(&llm), &[("OPENAI_STRUCTURED_OUTPUT", "off")]).await;
    let reply: Value = app.post(follow_up()).await.json().await.unwrap();
    let rewritten = reply["metadata"]["rewritten_question"].as_str().unwrap();
    assert!(rewritten.starts_with("And which one means") && rewritten.contains("exit"), "{rewritten}");
}
