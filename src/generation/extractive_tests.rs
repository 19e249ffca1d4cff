//! What the extractive answerer promises, in three languages.

use super::*;
use crate::generation::testing::hit;

fn question(text: &str) -> Question {
    Question::parse(text).unwrap()
}

/// Composes with no help from vectors: every cosine is alike.
fn answer(text: &str, hits: &[Hit]) -> Answer {
    let question = question(text);
    let candidates = candidates(&question, hits);
    let answer = compose(&question, hits, &candidates, &vec![0.3; candidates.len()]);
    for citation in answer.grounding.citations() {
        let content: Vec<char> = hits[citation.context].chunk.content.chars().collect();
        assert_eq!(content[citation.start..citation.end].iter().collect::<String>(), citation.quote);
    }
    answer
}

#[test]
fn a_sentence_is_chosen_not_a_chunk_and_its_page_is_named() {
    let mut handbook = hit(
        "data/handbook.pdf",
        "Welcome to the company. Full-time employees receive 25 days of annual leave. Lunch is at noon.",
    );
    handbook.chunk.page_number = Some(3);
    let answer = answer("How many days of annual leave do employees receive?", &[handbook]);
    assert_eq!(
        answer.text,
        "Full-time employees receive 25 days of annual leave. [1]\n\nSources: [1] data/handbook.pdf, page 3"
    );
    assert!(answer.is_grounded() && answer.model.is_none());
    assert_eq!(answer.grounding.citations()[0].verdict, Verdict::Supported);
}

#[test]
fn chinese_and_japanese_are_answered_in_kind() {
    let mut chinese = hit("手册.pdf", "欢迎加入公司。全职员工每年有25天年假。午餐时间是十二点。");
    chinese.chunk.page_number = Some(2);
    let text = answer("全职员工每年有多少天年假？", &[chinese]).text;
    assert_eq!(text, "全职员工每年有25天年假。 [1]\n\n来源： [1] 手册.pdf, 第 2 页");
    let japanese = hit("手引き.md", "ようこそ。正社員の有給休暇は年間20日です。昼休みは正午からです。");
    let text = answer("正社員の有給休暇は何日ですか？", &[japanese]).text;
    assert!(text.starts_with("正社員の有給休暇は年間20日です。 [1]\n\n出典："), "{text}");
}

#[test]
fn the_cosine_decides_where_no_word_is_shared() {
    let hits = [hit(
        "a.md",
        "The office dog is called Rex. Staff may stay home when they feel ill. Coffee costs nothing here.",
    )];
    let question = question("sick policy");
    let candidates = candidates(&question, &hits);
    assert_eq!(candidates.len(), 3);
    let cosines: Vec<f32> =
        candidates.iter().map(|c| if c.shown.contains("ill") { 0.6 } else { 0.1 }).collect();
    let answer = compose(&question, &hits, &candidates, &cosines);
    assert!(answer.text.starts_with("Staff may stay home when they feel ill. [1]\n"), "{}", answer.text);
    let missing = compose(&question, &hits, &candidates, &[f32::NAN]);
    assert!(missing.is_grounded());
}

#[test]
fn a_question_in_a_list_of_questions_gives_way_to_its_answer() {
    let hits = [hit(
        "faq.md",
        "## Leave\n\nHow many days of leave do I get? You get 25 of them each year.\n\nWhere do we park? Behind the house.",
    )];
    let text = answer("How many days of leave do I get?", &hits).text;
    assert!(text.starts_with("You get 25 of them each year. [1]\n"), "{text}");
}

#[test]
fn overlapping_chunks_do_not_repeat_themselves() {
    let hits = [
        hit("a.md", "Expenses are paid within ten days. Send every receipt to the finance team by Friday."),
        hit("a.md", "receipt to the finance team by Friday. Late receipts are paid the next month."),
        hit("b.md", "Send every receipt to the finance team by Friday."),
    ];
    let answer = answer("When do I send a receipt to the finance team?", &hits);
    assert_eq!(answer.text.matches("finance team by Friday").count(), 1, "{}", answer.text);
    assert_eq!(answer.grounding.citations()[0].number, 1);
}

#[test]
fn sentences_of_one_source_stand_in_reading_order() {
    let mut later = hit("a.md", "Step two is to stop the pump motor.");
    later.chunk.chunk_index = 5;
    let mut earlier = hit("a.md", "Step one is to warm the pump motor.");
    earlier.chunk.chunk_index = 2;
    let text = answer("What are the steps for the pump motor?", &[later, earlier]).text;
    assert!(
        text.starts_with("Step one is to warm the pump motor. [2] Step two is to stop the pump motor. [1]"),
        "{text}"
    );
    assert!(text.ends_with("Sources: [1][2] a.md"), "{text}");
}

#[test]
fn markdown_is_read_aloud_and_headings_answer_only_alone() {
    let hits = [hit(
        "a.md",
        "# Backup schedule\n\n- Backups run **every night** at [02:00](x.md)\n- Restores are tested yearly by operations",
    )];
    let text = answer("When do backups run at night?", &hits).text;
    assert!(text.starts_with("Backups run every night at 02:00. [1]"), "{text}");
    let alone = answer("backup schedule", &[hit("a.md", "# Backup schedule")]);
    assert!(alone.text.starts_with("Backup schedule. [1]"));
}

#[test]
fn table_rows_answer_with_their_head() {
    let hits = [hit(
        "a.md",
        "| Plan | Storage | Price |\n|---|---|---|\n| Basic | 5 GB | 10 USD |\n| Business | 2 TB | 40 USD |",
    )];
    let text = answer("What is the price of the Business plan?", &hits).text;
    assert!(text.starts_with("Business – Storage: 2 TB; Price: 40 USD. [1]"), "{text}");
}

#[test]
fn at_most_sixteen_candidates_in_passage_order() {
    let many: Vec<Hit> = (0..50)
        .map(|i| hit(&format!("{i}.md"), &format!("Alpha number {i} is a word. Beta goes on {i}.")))
        .collect();
    let found = candidates(&question("What is alpha?"), &many);
    assert_eq!(found.len(), MAX_CANDIDATES);
    assert!(found.is_sorted_by_key(|candidate| candidate.hit));
}

#[test]
fn nothing_to_choose_is_no_evidence() {
    assert_eq!(answer("Why?", &[hit("a.md", "")]).grounding, Grounding::NoEvidence);
    for (text, start) in [("What is it?", "There is not"), ("这是什么？", "已收录"), ("これは何？", "登録")]
    {
        let answer = no_evidence(&question(text));
        assert!(answer.text.starts_with(start) && answer.contexts.is_empty());
    }
}

#[test]
fn a_yes_comes_with_its_reason() {
    let faq = hit(
        "faq.txt",
        "Can I use a model of my own?\nYes. Set the base address to its server. It may be slow.",
    );
    let answer = answer("Can I use a model of my own?", &[faq]);
    assert!(answer.text.starts_with("Yes. Set the base address to its server. [1]"), "{}", answer.text);
    let newline = hit("faq.txt", "Done.\n\nThe next paragraph is about something else entirely.");
    assert!(!candidates(&question("something"), &[newline])[0].shown.starts_with("Done. The"));
}
