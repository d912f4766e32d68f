"""Schedules against the library whose grammar and ways they follow: 100,000 expressions, valid and not, in zones all over the world,
at times that lie close to where clocks are set, answered by robfig/cron (go_cron) and by schemas/cron (cron_batch).
"""
# NO KAFKA
import calendar, datetime, os, random, re, subprocess, zoneinfo

from fleet import BIN, SKIP, SOURCE, main, skip

OURS = os.path.join(os.path.dirname(BIN), "tests", "cron_batch")
COUNT, SEED = 100000, 7
YEARS = [1974, 1987, 2010, 2011, 2018, 2024, 2026, 2027, 2033, 2051, 2088]
RANGES = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]
NAMES = [[], [], [], "jan feb mar apr may jun jul aug sep oct nov dec".split(), "sun mon tue wed thu fri sat".split()]
# Not where a whole day was left out (Pacific/Apia 2011, Kiritimati 1994): there the library never comes back with an answer.
ZONES = """UTC Europe/Berlin Europe/London Europe/Dublin America/New_York America/Los_Angeles America/St_Johns America/Havana
    America/Santiago America/Sao_Paulo America/Asuncion America/Nuuk America/Scoresbysund Atlantic/Azores Africa/Casablanca
    Africa/Cairo Africa/Monrovia Asia/Beirut Asia/Gaza Asia/Amman Asia/Tehran Asia/Kathmandu Asia/Kolkata Asia/Tokyo
    Asia/Pyongyang Asia/Jerusalem Australia/Sydney Australia/Lord_Howe Australia/Eucla Pacific/Fiji Pacific/Chatham
    Pacific/Auckland Pacific/Kiritimati Pacific/Norfolk Antarctica/Troll Etc/GMT+12 EST5EDT""".split()
BAD_ZONES = ["Mars/Olympus", "../UTC", "/etc/localtime", "Europe", "Europe/", ".", "..", "zone.tab", "UTC\t", "\xff"]
ODD = ["", ",", "*-", "*-x/2", "?", "?/1", "*/1", "*,5", "7", "8", "60", "24", "0", "32", "13", "-1", "+1", "1-", "-", "1-2-3", "1/2/3",
       "*/0", "*/61", "*/-1", "*/+2", "/", "/2", "1/", "L", "W", "5L", "2#1", "15W", "sunday", "SUN", "january", "Dec", "sat-sun",
       "fri-2", "9-17", "22-2", "0x1", "1_0", "٣", "1.5", "007", "99999999999999999999", "*/99999999999999999999", "1,,2", ",3",
       "**", "*5", "5*", "a", "\x00", "\xff", "%", "1-5/2", "10/20", "0-59/59", "*/9223372036854775807"]
DURATIONS = ["1h30m", "1s", "999ms", "1.5s", "0", "0s", "-5m", "+90s", "1h-5m", "2540400h", "2562047h47m16.854775807s", "2562048h",
             "1", "", " 1h", "1h ", ".5m", "5.m", ".s", "1us", "100µs", "1d", "9223372036854775807ns", "9223372036854775808ns",
             "-9223372036854775808ns", "1h1h1h", "0.3333333333333333333333h", "1m.25s", "3600000000000ns", "1..5s", "1e3s", "1H"]
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\v", "\f", "\u00a0", "\u2003", "\u3000", "\u0085"]


def item(r, f, sane):
    low, high = RANGES[f]
    if not sane and r.random() < 0.3:
        return r.choice(ODD)
    a, b = sorted((r.randint(low, high), r.randint(low, high)))
    name = lambda n: r.choice([str.lower, str.upper, str.title])(NAMES[f][n - low]) if NAMES[f] and r.random() < 0.4 else "%d" % n
    step = "/%d" % r.choice([1, 2, 3, 5, 7, 15, 20, 61]) if r.random() < 0.3 else ""
    return r.choice(["*", "*", "?", name(a), name(a), name(a) + "-" + name(b)]) + step


def fields(r, sane):
    def field(f):
        if r.random() < 0.35:
            return "*"
        return ",".join(item(r, f, sane) for _ in range(r.choice([1, 1, 1, 1, 2, 3])))
    words = [field(f) for f in range(5)]
    if r.random() < 0.3: # the nights of changed clocks
        words[1] = str(r.choice([0, 1, 2, 3, 23]))
    if r.random() < 0.02: # rare, or never
        words[2:] = r.choice([["30", "2", "*"], ["31", "2,4,6", "?"], ["29", "feb", "*"], ["31", "11", "*"], ["29", "2", "*/1"]])
    if not sane and r.random() < 0.1:
        words = words[:r.randint(0, 4)] if r.random() < 0.5 else words + [r.choice(ODD) or "*"]
    gap = r.choice(SPACES) if r.random() < 0.1 else " "
    text = gap.join(words)
    return r.choice(SPACES) + text + r.choice(SPACES) if r.random() < 0.03 else text


def expression(r):
    kind = r.random()
    if kind < 0.05:
        text = r.choice(["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly", "@Daily", "@daily ", "@", "@reboot",
                         " @daily", "@every", "@every\t1h", "@hourly 1"])
    elif kind < 0.09:
        text = "@every " + (r.choice(DURATIONS) if r.random() < 0.5 else "%d%s%d.%ds" % (r.randint(0, 99), r.choice("hm"), r.randint(0, 99), r.randint(0, 9)))
    else:
        text = fields(r, sane=r.random() < 0.8)
    prefix = r.random()
    if prefix < 0.08:
        text = r.choice(["TZ=", "CRON_TZ="]) + r.choice(ZONES) + r.choice([" ", " ", "  ", " \t"]) + text
    elif prefix < 0.10:
        text = r.choice(["TZ=", "CRON_TZ=", "tz=", " TZ=", "TZ"]) + r.choice(BAD_ZONES + ["", "UTC"]) + r.choice([" ", ""]) + text
    return text.encode("utf-8", "surrogateescape") if r.random() > 0.002 else text.encode("latin-1", "replace")


def rare(text):
    """A list of nothing but commas is never due; the library counts five years of minutes or hours to find that out."""
    words = re.split(rb"\s+", text.strip())
    return any(not w.strip(b",") for w in words)


def changes(zone):
    """Midnights (UTC) of days within which clocks are set."""
    found, before, tz = [], None, zoneinfo.ZoneInfo(zone)
    for year in YEARS:
        for day in range(calendar.timegm((year, 1, 1, 0, 0, 0)), calendar.timegm((year + 1, 1, 2, 0, 0, 0)), 86400):
            offset = datetime.datetime.fromtimestamp(day, tz).utcoffset()
            if before not in (None, offset):
                found.append(day - 86400)
            before = offset
        before = None
    return found


def questions(count, seed):
    r, slow = random.Random(seed), 0
    lines, set_days = [], {zone: changes(zone) for zone in ZONES}
    while len(lines) < count:
        text = expression(r)
        if rare(text):
            slow += 1
            if slow > 20:
                continue
        zone = r.choice(ZONES)
        day = calendar.timegm((r.randint(1996, 2099), r.randint(1, 12), r.randint(1, 31), 0, 0, 0))
        if set_days[zone] and r.random() < 0.6:
            day = r.choice(set_days[zone]) + r.choice([-1, 0, 0, 0, 1]) * 86400
        ms = (day + r.choice([r.randint(0, 86399), r.randint(0, 24) * 3600, r.randint(0, 1440) * 60])) * 1000
        lines.append("%s\t%s\t%d\n" % (text.hex(), zone, ms + r.choice([0, 0, 0, 1, 999, r.randint(0, 999)])))
    return lines


def answers(command, lines):
    run = subprocess.run(command, input="".join(lines), capture_output=True, text=True, timeout=200)
    assert run.returncode == 0, (command, run.returncode, run.stderr[-2000:])
    return run.stdout.split("\n")[:-1]


def _build_theirs():
    run = subprocess.run([os.path.join(SOURCE, "tests/support/vsphere-sim/build"), os.path.join(SOURCE, "tests/integration/go_cron")],
                         stdout=subprocess.PIPE, text=True)
    if run.returncode == SKIP:
        skip("go_cron cannot be built here: see above")
    assert run.returncode == 0, "go_cron could not be built"
    return run.stdout.strip()


def test_robfig():
    lines = questions(COUNT, SEED)
    theirs, ours = answers([_build_theirs()], lines), answers([OURS, "robfig"], lines)
    assert len(theirs) == len(ours) == COUNT, (len(theirs), len(ours))
    wrong = [(bytes.fromhex(q.split("\t")[0]), q.split("\t")[1:], t, o) for q, t, o in zip(lines, theirs, ours) if t != o]
    told = "%d differ; expression, zone and time, theirs, ours:\n" % len(wrong) + "\n".join(map(repr, wrong[:20]))
    assert not wrong, told
    count = {kind: theirs.count(kind) for kind in ("invalid", "never")}
    assert 5000 < count["invalid"] < 40000 and 200 < count["never"] < 20000, count # it asks about all three
    print("%d compared, of them %d invalid and %d never due" % (COUNT, count["invalid"], count["never"]))


def schedule(*args, status=0):
    run = subprocess.run([os.path.join(BIN, "hyperctl"), "schedule", *args], capture_output=True, text=True, timeout=30)
    assert run.returncode == status, (args, run.returncode, run.stdout, run.stderr)
    return run.stdout if status == 0 else run.stderr


def test_hyperctl_tells_the_coming_times():
    night = ["next", "TZ=Europe/Berlin 30 2 * * *", "--from", "2026-03-28T12:00:00Z", "--count", "2"]
    assert schedule(*night) == "2026-03-29T03:00:00+02:00\n2026-03-30T02:30:00+02:00\n"
    assert schedule(*night, "--dst", "robfig") == "2026-03-30T02:30:00+02:00\n2026-03-31T02:30:00+02:00\n"
    assert schedule("next", "@daily", "--count", "1", "--from", "2026-03-28T23:00:00-05:00") == "2026-03-30T00:00:00Z\n"
    assert schedule("next", "0 0 30 2 *") == "" and len(schedule("next", "* * * * *").splitlines()) == 5
    said = schedule("next", "0 61 * * *", status=65)
    assert said.splitlines()[:2] == ["  0 61 * * *", "    ^"] and "column 3: hour: 61 is above 23 (invalid)" in said, said
    assert "column 4: time zone Mars/X" in schedule("next", "TZ=Mars/X @daily", status=66)
    assert "127.0.0.1:1" in schedule("next", "nightly", "--http", "http://127.0.0.1:1", status=69)  # an id: the sidecar knows
    schedule("next", "@daily", "--dst", "other", status=64)
    schedule("next", "@daily", "--from", "yesterday", status=64)


if __name__ == "__main__":
    main(test_robfig, test_hyperctl_tells_the_coming_times)
