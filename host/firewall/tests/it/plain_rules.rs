//! An evaluator that is slow and obviously right, for comparison: it reads
//! rules as data, knows no compiled form, and computes every part of every
//! criterion that is reached.

/// A request that has texts only.
#[derive(Clone, Debug)]
pub(crate) struct PlainRequest {
    pub(crate) path: String,
    /// Name and value of each header, in order.
    pub(crate) headers: Vec<(String, String)>,
    /// Key and value of each part of the query, in order.
    pub(crate) arguments: Vec<(String, String)>,
    pub(crate) peer: [u8; 4],
}

#[derive(Clone, Debug)]
pub(crate) struct PlainRule {
    pub(crate) active: bool,
    pub(crate) criteria: Vec<PlainTerm>,
    pub(crate) behavior: PlainBehavior,
}

#[derive(Clone, Debug)]
pub(crate) enum PlainTerm {
    Criterion(PlainCriterion),
    /// Whether the group is joined by `or`, and its terms. `or` of the first
    /// does not count.
    Group(bool, Vec<Self>),
}

#[derive(Clone, Debug)]
pub(crate) struct PlainCriterion {
    pub(crate) or: bool,
    pub(crate) variable: &'static str,
    pub(crate) operator: &'static str,
    pub(crate) argument: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlainBehavior {
    Log,
    Deny,
    Drop,
    Allow,
    Respond,
    /// A rule that is reached compares a key of the query that is repeated.
    Refuse,
}

/// A criterion compares a key of the query that is repeated.
pub(crate) struct Repeated;

impl PlainTerm {
    fn is_or(&self) -> bool {
        match self {
            Self::Criterion(criterion) => criterion.or,
            Self::Group(or, _) => *or,
        }
    }

    fn holds(&self, request: &PlainRequest) -> Result<bool, Repeated> {
        match self {
            Self::Criterion(criterion) => criterion.holds(request),
            Self::Group(_, terms) => all_hold(terms, request),
        }
    }
}

/// First cuts the terms before each `or`. Then one part after the other: up to
/// its first term that does not hold, and no part after one that holds.
fn all_hold(terms: &[PlainTerm], request: &PlainRequest) -> Result<bool, Repeated> {
    let mut parts: Vec<Vec<&PlainTerm>> = Vec::new();
    for (index, term) in terms.iter().enumerate() {
        if index == 0 || term.is_or() {
            parts.push(Vec::new());
        }
        parts.last_mut().unwrap().push(term);
    }
    for part in &parts {
        let mut failed = 0;
        for term in part {
            if failed == 0 && !term.holds(request)? {
                failed += 1;
            }
        }
        if failed == 0 {
            return Ok(true);
        }
    }
    Ok(terms.is_empty())
}

impl PlainCriterion {
    fn values(&self, request: &PlainRequest) -> Vec<String> {
        let named = |all: &[(String, String)], name: &str| -> Vec<String> {
            let found = all.iter().filter(|(key, _)| key == name);
            found.map(|(_, value)| value.clone()).collect()
        };
        match self.variable.split_once('_') {
            _ if self.variable == "uri" => vec![request.path.clone()],
            _ if self.variable == "remote_addr" => {
                let [a, b, c, d] = request.peer;
                vec![format!("{a}.{b}.{c}.{d}")]
            }
            Some(("http", name)) => {
                let lines: Vec<String> = named(&request.headers, &name.replace('_', "-"));
                if lines.is_empty() {
                    return lines;
                }
                vec![lines.join(", ")]
            }
            Some(("arg", name)) => named(&request.arguments, name),
            _ => panic!("{} is not a plain variable", self.variable),
        }
    }

    fn holds(&self, request: &PlainRequest) -> Result<bool, Repeated> {
        let values = self.values(request);
        let is_about_existence = self.operator.contains("exist");
        if values.len() > 1 && !is_about_existence {
            return Err(Repeated);
        }
        Ok(self.compare(values))
    }

    fn compare(&self, mut values: Vec<String>) -> bool {
        let argument = self.argument.as_str();
        match self.operator {
            "exists" => return !values.is_empty(),
            "does_not_exist" => return values.is_empty(),
            _ => {}
        }
        if values.is_empty() {
            values.push(String::new());
        }
        let one = |test: &dyn Fn(&str) -> bool| values.iter().any(|value| test(value));
        match self.operator {
            "is_equal" => one(&|it| it == argument),
            "is_not_equal" => !one(&|it| it == argument),
            "starts_with" => one(&|it| it.starts_with(argument)),
            "does_not_start_with" => !one(&|it| it.starts_with(argument)),
            "ends_with" => one(&|it| it.ends_with(argument)),
            "does_not_end_with" => !one(&|it| it.ends_with(argument)),
            "contains" => one(&|it| it.contains(argument)),
            "does_not_contain" => !one(&|it| it.contains(argument)),
            // Arguments of expressions are letters only here, so they mean
            // themselves, between `^` and `$`.
            "matches" => one(&|it| it == argument.trim_matches(['^', '$'])),
            "does_not_match" => !one(&|it| it == argument.trim_matches(['^', '$'])),
            // Globs are `X*` here.
            "matches_glob" => one(&|it| it.starts_with(argument.trim_end_matches('*'))),
            "does_not_match_glob" => !one(&|it| it.starts_with(argument.trim_end_matches('*'))),
            other => panic!("{other} is not a plain operator"),
        }
    }
}

/// Which rule decides, by its number, and how; the rules that log.
pub(crate) fn evaluate(
    rules: &[PlainRule],
    request: &PlainRequest,
) -> (Option<(usize, PlainBehavior)>, Vec<usize>) {
    let mut logged = Vec::new();
    for (number, rule) in rules.iter().enumerate() {
        if !rule.active {
            continue;
        }
        match all_hold(&rule.criteria, request) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(Repeated) => return (Some((number, PlainBehavior::Refuse)), logged),
        }
        if rule.behavior != PlainBehavior::Log {
            return (Some((number, rule.behavior)), logged);
        }
        logged.push(number);
    }
    (None, logged)
}
