//! Forms of pages, read as a browser reads them.

/// The fields that the form of this action on a page would send as it stands, or nothing when the page has no such form.
pub fn of_page(html: &str, action: &str) -> Option<Vec<(String, String)>> {
    let form = html.split("<form").skip(1).find(|rest| {
        let head = rest.split('>').next().unwrap_or_default();
        attribute(head, "action").as_deref() == Some(action)
    })?;
    let form = form.split("</form>").next()?;
    let mut fields = Vec::new();
    for rest in form.split('<').skip(1) {
        let (tag, text) = rest.split_once('>').unwrap_or((rest, ""));
        let Some(name) = attribute(tag, "name") else { continue };
        let value = attribute(tag, "value").unwrap_or_default();
        match tag.split_whitespace().next().unwrap_or_default() {
            "input" if is_choice(tag) && !has(tag, "checked") => {}
            "input" if is_choice(tag) && value.is_empty() => fields.push((name, "on".into())),
            "input" => fields.push((name, value)),
            "textarea" => fields.push((name, plain(text))),
            "select" => {
                let options =
                    form.split_once(rest).map(|(_, after)| after.split("</select>").next().unwrap_or_default());
                fields.extend(chosen(options.unwrap_or_default()).map(|value| (name, value)));
            }
            _ => {}
        }
    }
    Some(fields)
}

/// The chosen of some options, or the first.
fn chosen(options: &str) -> Option<String> {
    let tags: Vec<_> = options.split("<option").skip(1).filter_map(|rest| rest.split('>').next()).collect();
    let tag = tags.iter().find(|tag| has(tag, "selected")).or(tags.first())?;
    attribute(tag, "value")
}

fn is_choice(tag: &str) -> bool {
    matches!(attribute(tag, "type").as_deref(), Some("checkbox" | "radio"))
}

fn has(tag: &str, name: &str) -> bool {
    tag.split_whitespace().any(|word| word == name)
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split('"').next().map(plain)
}

/// A text without the signs that HTML writes for others.
fn plain(text: &str) -> String {
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#38;", "&"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (written, sign)| text.replace(written, sign))
}
