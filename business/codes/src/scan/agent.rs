//! The noun: what scanned, told from the `User-Agent` header. Pure, apart from a table of what was told before.

use std::sync::atomic::{AtomicU64, Ordering};

/// Kinds of device, in the order of their bytes.
pub const DEVICES: [&str; 5] = ["unknown", "phone", "tablet", "desktop", "other"];
/// Systems, in the order of their bytes.
pub const SYSTEMS: [&str; 8] = ["unknown", "ios", "android", "windows", "macos", "linux", "chromeos", "harmonyos"];
/// Browsers, in the order of their bytes.
pub const BROWSERS: [&str; 12] =
    ["unknown", "safari", "chrome", "firefox", "edge", "samsung", "opera", "wechat", "instagram", "facebook", "whatsapp", "in_app"];

/// Longest part of a `User-Agent` header that is looked at.
const LOOKED_AT_BYTES: usize = 512;

/// Fetch a page to show a card of it in a chat or a feed, at the wish of whoever wrote the message and not of a visitor.
const PREVIEWS: [&str; 30] = [
    "facebookexternalhit",
    "facebookcatalog",
    "meta-externalfetcher",
    "twitterbot",
    "slackbot-linkexpanding",
    "slack-imgproxy",
    "telegrambot",
    "linkedinbot",
    "discordbot",
    "skypeuripreview",
    "bingpreview",
    "microsoftpreview",
    "snap url preview",
    "kakaotalk-scrap",
    "vkshare",
    "redditbot",
    "embedly",
    "iframely",
    "cardyb",
    "mastodon/",
    "pleroma",
    "misskey/",
    "viber/",
    "zoombot",
    "google-pagerenderer",
    "googlemessages",
    "chrome-lighthouse",
    "w3c_validator",
    "opengraph",
    "link preview",
];

/// Words that programs have in their names and that browsers do not.
const BOTS: [&str; 43] = [
    "bot",
    "crawl",
    "spider",
    "slurp",
    "scrap",
    "fetcher",
    "archiver",
    "monitor",
    "uptime",
    "pingdom",
    "statuscake",
    "scanner",
    "security",
    "headless",
    "phantomjs",
    "selenium",
    "puppeteer",
    "playwright",
    "curl/",
    "wget/",
    "libwww",
    "python",
    "aiohttp",
    "httpx",
    "go-http-client",
    "okhttp",
    "java/",
    "apache-httpclient",
    "axios",
    "node-fetch",
    "undici",
    "ruby",
    "perl",
    "php/",
    "guzzle",
    "postman",
    "insomnia",
    "google-inspectiontool",
    "mediapartners-google",
    "feedfetcher",
    "proofpoint",
    "barracuda",
    "safelinks",
];

/// Names that hold one of the words above and are browsers all the same.
const NOT_BOTS: [&str; 2] = ["cubot", "okhttp/browser"];

/// What scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Agent {
    device: u8,
    system: u8,
    browser: u8,
    bot: bool,
    preview: bool,
}

impl Agent {
    /// A program and no person: its scans are counted apart.
    pub fn is_bot(self) -> bool {
        self.bot
    }

    /// A link preview: it is answered, and is no scan.
    pub fn is_preview(self) -> bool {
        self.preview
    }

    /// The kind of device.
    pub fn device(self) -> &'static str {
        DEVICES[usize::from(self.device) % DEVICES.len()]
    }

    /// The system.
    pub fn system(self) -> &'static str {
        SYSTEMS[usize::from(self.system) % SYSTEMS.len()]
    }

    /// The browser.
    pub fn browser(self) -> &'static str {
        BROWSERS[usize::from(self.browser) % BROWSERS.len()]
    }

    /// Without anything about the device; whether it is a bot stays.
    pub fn without_device(self) -> Self {
        Self { device: 0, system: 0, browser: 0, ..self }
    }

    pub(super) fn to_bytes(self) -> [u8; 3] {
        [self.device, self.system, self.browser]
    }

    pub(super) fn from_bytes([device, system, browser]: [u8; 3], bot: bool) -> Self {
        Self { device, system, browser, bot, preview: false }
    }

    fn pack(self) -> u64 {
        u64::from(self.device)
            | u64::from(self.system) << 4
            | u64::from(self.browser) << 8
            | u64::from(self.bot) << 12
            | u64::from(self.preview) << 13
    }

    fn unpack(bits: u64) -> Self {
        Self {
            device: (bits & 0xF) as u8,
            system: (bits >> 4 & 0xF) as u8,
            browser: (bits >> 8 & 0xF) as u8,
            bot: bits >> 12 & 1 == 1,
            preview: bits >> 13 & 1 == 1,
        }
    }
}

/// Tells what a `User-Agent` header says. No header at all is a bot: every browser sends one.
pub fn classify(header: &[u8]) -> Agent {
    let mut buffer = [0; LOOKED_AT_BYTES];
    let length = header.len().min(LOOKED_AT_BYTES);
    let text = &mut buffer[..length];
    text.copy_from_slice(&header[..length]);
    text.make_ascii_lowercase();
    // Bytes that are not UTF-8 are beyond what any of our words holds.
    let text = String::from_utf8_lossy(text);
    let has = |word: &str| text.contains(word);
    if text.trim().is_empty() {
        return Agent { bot: true, ..Agent::default() };
    }
    // WhatsApp fetches previews under its bare name; inside its browser the name follows a browser's.
    if PREVIEWS.iter().any(|word| has(word)) || text.starts_with("whatsapp/") {
        return Agent { bot: true, preview: true, ..Agent::default() };
    }
    let bot = BOTS.iter().any(|word| has(word)) && !NOT_BOTS.iter().any(|word| has(word));
    let system = if has("harmonyos") || has("openharmony") {
        7
    } else if has("iphone") || has("ipad") || has("ipod") {
        1
    } else if has("android") {
        2
    } else if has("windows") {
        3
    } else if has("macintosh") || has("mac os x") {
        4
    } else if has("cros ") {
        6
    } else if has("linux") || has("x11") {
        5
    } else {
        0
    };
    let device = match system {
        1 if has("ipad") => 2,
        1 => 1,
        2 | 7 if has("mobile") || system == 7 && has("phone") => 1,
        2 | 7 if has("tv") => 4,
        2 | 7 => 2,
        3..=6 => 3,
        _ if has("mobile") => 1,
        _ => 4,
    };
    let browser = if has("micromessenger") {
        7
    } else if has("instagram") {
        8
    } else if has("fban/") || has("fbav/") || has("fb_iab") {
        9
    } else if has("whatsapp") {
        10
    } else if has("edg/") || has("edga/") || has("edgios/") {
        4
    } else if has("opr/") || has("opera") || has("opt/") {
        6
    } else if has("samsungbrowser") {
        5
    } else if has("firefox/") || has("fxios/") {
        3
    } else if has("; wv)") || has("gsa/") || has("line/") || has("tiktok") || has("musical_ly") || has("snapchat") {
        11
    } else if has("chrome/") || has("crios/") || has("chromium/") {
        2
    } else if has("safari/") {
        1
    } else if system == 1 && has("applewebkit") {
        11
    } else {
        0
    };
    Agent { device, system, browser, bot, preview: false }
}

/// Remembers what was told of a header by its hash: a few thousand headers make up nearly all scans. An entry is one word,
/// so that readers and writers never wait for each other; two headers that meet in one place replace each other.
#[derive(Debug)]
pub struct Agents {
    entries: Box<[AtomicU64]>,
}

const ENTRIES: usize = 4096;
const TOLD_BITS: u32 = 16;
const TOLD: u64 = 1 << 15;

impl Default for Agents {
    fn default() -> Self {
        Self { entries: (0..ENTRIES).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Agents {
    /// What `header`, whose hash is `hash`, says.
    pub fn tell(&self, hash: u64, header: &[u8]) -> Agent {
        let entry = &self.entries[hash as usize % ENTRIES];
        let known = entry.load(Ordering::Relaxed);
        if known & TOLD != 0 && known >> TOLD_BITS == hash >> TOLD_BITS {
            return Agent::unpack(known & (TOLD - 1));
        }
        let agent = classify(header);
        entry.store(hash >> TOLD_BITS << TOLD_BITS | TOLD | agent.pack(), Ordering::Relaxed);
        agent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_told_by_device_system_and_name() {
        for (header, device, system, browser) in [
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
                "phone",
                "ios",
                "safari",
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0 Mobile/15E148 Safari/604.1",
                "tablet",
                "ios",
                "chrome",
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36",
                "phone",
                "android",
                "chrome",
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; SM-X210) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0 Safari/537.36",
                "tablet",
                "android",
                "samsung",
            ),
            (
                "Mozilla/5.0 (Linux; Android 9; CUBOT X19) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36",
                "phone",
                "android",
                "chrome",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36 Edg/126.0",
                "desktop",
                "windows",
                "edge",
            ),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14.5; rv:127.0) Gecko/20100101 Firefox/127.0", "desktop", "macos", "firefox"),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
                "desktop",
                "linux",
                "chrome",
            ),
            (
                "Mozilla/5.0 (Linux; Android 13; 2201116SG Build/TKQ1; wv) AppleWebKit/537.36 Version/4.0 Chrome/111 Mobile Safari/537.36 MicroMessenger/8.0.40",
                "phone",
                "android",
                "wechat",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Instagram 334.0",
                "phone",
                "ios",
                "instagram",
            ),
            (
                "Mozilla/5.0 (Phone; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0 ArkWeb/4.1 Mobile",
                "phone",
                "harmonyos",
                "chrome",
            ),
        ] {
            let agent = classify(header.as_bytes());
            assert!(!agent.is_bot() && !agent.is_preview(), "{header}");
            assert_eq!((agent.device(), agent.system(), agent.browser()), (device, system, browser), "{header}");
        }
    }

    #[test]
    fn programs_are_bots_and_link_previews_are_previews() {
        for (header, preview) in [
            ("", false),
            ("curl/8.9.1", false),
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", false),
            ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0 Safari/537.36", false),
            ("python-requests/2.32", false),
            ("Go-http-client/2.0", false),
            ("Mozilla/5.0 (compatible; UptimeRobot/2.0)", false),
            ("facebookexternalhit/1.1 Facebot Twitterbot/1.0", true),
            ("WhatsApp/2.24.15 A", true),
            ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", true),
            ("TelegramBot (like TwitterBot)", true),
            ("LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)", true),
            ("Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)", true),
            ("Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5", true),
        ] {
            let agent = classify(header.as_bytes());
            assert!(agent.is_bot(), "{header}");
            assert_eq!(agent.is_preview(), preview, "{header}");
        }
    }

    #[test]
    fn what_was_told_once_is_told_again_from_the_table() {
        let agents = Agents::default();
        let header = b"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Version/18.1 Mobile Safari/604.1";
        let first = agents.tell(0xABCD_0000_1234_5678, header);
        assert_eq!(agents.tell(0xABCD_0000_1234_5678, b"something else under the same hash"), first);
        assert!(agents.tell(0xABCE_0000_1234_5678, b"curl/8").is_bot(), "another header in the same place replaces it");
        assert_eq!(agents.tell(0xABCD_0000_1234_5678, header), first);
        for header in [&b"curl/8"[..], b"WhatsApp/2", header] {
            assert_eq!(Agent::unpack(classify(header).pack()), classify(header));
        }
    }
}
