//! What a match leaves behind for `TX.0` to `TX.9`.

/// How many captures there are.
pub const CAPTURES: usize = 10;

/// The steps that one evaluation of a backtracking pattern may take, unless the engine says otherwise. About a millisecond.
pub const DEFAULT_STEP_LIMIT: u64 = 200_000;

/// The captures of one evaluation, reused from one to the next so that nothing is allocated where nothing matches.
#[derive(Clone, Debug)]
pub struct Captures {
    text: Vec<u8>,
    ranges: [Option<(usize, usize)>; CAPTURES],
    wanted: bool,
    step_limit: u64,
    limit_exceeded: bool,
    searches: u64,
}

impl Default for Captures {
    fn default() -> Self {
        Self {
            text: Vec::new(),
            ranges: [None; CAPTURES],
            wanted: true,
            step_limit: DEFAULT_STEP_LIMIT,
            limit_exceeded: false,
            searches: 0,
        }
    }
}

impl Captures {
    /// Forgets the captures and the exceeded limit; what is wanted, the limit itself and the count of searches stay.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ranges = [None; CAPTURES];
        self.limit_exceeded = false;
    }

    /// Says whether operators are to record captures at all (the rule has the action `capture`). Without, they only decide, which
    /// is cheaper. The default is that they do.
    pub const fn want(&mut self, wanted: bool) {
        self.wanted = wanted;
    }

    /// Whether captures are recorded.
    #[must_use]
    pub const fn wanted(&self) -> bool {
        self.wanted
    }

    /// Records capture `index`; indexes above 9 are ignored, as `TX` has no more.
    pub fn set(&mut self, index: usize, bytes: &[u8]) {
        if let Some(range) = self.ranges.get_mut(index) {
            let start = self.text.len();
            self.text.extend_from_slice(bytes);
            *range = Some((start, self.text.len()));
        }
    }

    /// Capture `index`, if there is one.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let (start, end) = (*self.ranges.get(index)?)?;
        self.text.get(start..end)
    }

    /// The captures that there are, with their indexes.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> {
        (0..CAPTURES).filter_map(|index| Some((index, self.get(index)?)))
    }

    /// Sets how many steps one evaluation of a backtracking pattern may take (`SecPcreMatchLimit`).
    pub const fn set_step_limit(&mut self, steps: u64) {
        self.step_limit = steps;
    }

    pub(crate) const fn step_limit(&self) -> u64 {
        self.step_limit
    }

    /// Whether an evaluation since the last [`Self::clear`] gave up at the step limit (`MSC_PCRE_LIMITS_EXCEEDED`).
    #[must_use]
    pub const fn limit_exceeded(&self) -> bool {
        self.limit_exceeded
    }

    pub(crate) const fn exceed_limit(&mut self) {
        self.limit_exceeded = true;
    }

    /// How many patterns have been run so far.
    #[must_use]
    pub const fn searches(&self) -> u64 {
        self.searches
    }

    pub(crate) const fn count_search(&mut self) {
        self.searches = self.searches.wrapping_add(1);
    }
}
