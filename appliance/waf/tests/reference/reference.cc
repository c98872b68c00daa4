// The C libraries' side of the differential tests. Values come in on standard input, each behind its length (32 bits, little
// endian); the answers go out in the same form.
//
//   reference injection     "s" and the fingerprint if the value is an SQL injection, "-" if it is none; then "x" or "-"
//   reference rules RULES   what the rules log, a line a match, for a request whose header X is the value
//   reference requests FILE the ids of the rules of a file that match a request and are logged, each with a blank behind it; the value
//                           is a list of pieces, each behind its length: method, target, names and values of headers, body

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include <modsecurity/modsecurity.h>
#include <modsecurity/rule_message.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>

// libinjection has no header of its own there; the library exports it.
extern "C" int libinjection_sqli(const char *value, size_t length, char fingerprint[]);
extern "C" int libinjection_xss(const char *value, size_t length);

static std::string logged;

static void keep(void *, const void *message) {
    logged += static_cast<const modsecurity::RuleMessage *>(message)->m_data;
    logged += '\n';
}

static void keep_id(void *, const void *message) {
    logged += std::to_string(static_cast<const modsecurity::RuleMessage *>(message)->m_ruleId);
    logged += ' ';
}

static bool read_value(std::string &value) {
    uint32_t length;
    if (fread(&length, sizeof length, 1, stdin) != 1) return false;
    value.resize(length);
    return length == 0 || fread(&value[0], 1, length, stdin) == length;
}

static void write_answer(const std::string &answer) {
    uint32_t length = answer.size();
    fwrite(&length, sizeof length, 1, stdout);
    fwrite(answer.data(), 1, length, stdout);
}

static int injection() {
    std::string value;
    while (read_value(value)) {
        char fingerprint[16] = {0};
        std::string answer = "-";
        if (libinjection_sqli(value.c_str(), value.size(), fingerprint)) answer = std::string("s") + fingerprint;
        answer += libinjection_xss(value.c_str(), value.size()) ? 'x' : '-';
        write_answer(answer);
    }
    return 0;
}

static int rules(const char *text) {
    modsecurity::ModSecurity library;
    library.setServerLogCb(keep, modsecurity::RuleMessageLogProperty);
    modsecurity::RulesSet set;
    if (set.load(text) < 0) {
        fprintf(stderr, "%s\n", set.getParserError().c_str());
        return 1;
    }
    std::string value;
    while (read_value(value)) {
        logged.clear();
        modsecurity::Transaction transaction(&library, &set, nullptr);
        transaction.processConnection("127.0.0.1", 1, "127.0.0.1", 2);
        transaction.processURI("/", "GET", "1.1");
        transaction.addRequestHeader(reinterpret_cast<const unsigned char *>("X"), 1,
                                     reinterpret_cast<const unsigned char *>(value.data()), value.size());
        transaction.processRequestHeaders();
        write_answer(logged);
    }
    return 0;
}

static int requests(const char *file) {
    modsecurity::ModSecurity library;
    library.setServerLogCb(keep_id, modsecurity::RuleMessageLogProperty);
    modsecurity::RulesSet set;
    if (set.loadFromUri(file) < 0) {
        fprintf(stderr, "%s\n", set.getParserError().c_str());
        return 1;
    }
    std::string value;
    while (read_value(value)) {
        std::vector<std::string> pieces;
        for (size_t place = 0; place + 4 <= value.size();) {
            uint32_t length;
            memcpy(&length, value.data() + place, 4);
            pieces.push_back(value.substr(place + 4, length));
            place += 4 + length;
        }
        logged.clear();
        modsecurity::Transaction transaction(&library, &set, nullptr);
        transaction.processConnection("192.0.2.7", 40000, "127.0.0.1", 80);
        transaction.processURI(pieces[1].c_str(), pieces[0].c_str(), "1.1");
        for (size_t index = 2; index + 2 < pieces.size(); index += 2) {
            const std::string &name = pieces[index], &text = pieces[index + 1];
            transaction.addRequestHeader(reinterpret_cast<const unsigned char *>(name.data()), name.size(),
                                         reinterpret_cast<const unsigned char *>(text.data()), text.size());
        }
        transaction.processRequestHeaders();
        const std::string &body = pieces.back();
        transaction.appendRequestBody(reinterpret_cast<const unsigned char *>(body.data()), body.size());
        transaction.processRequestBody();
        write_answer(logged);
    }
    return 0;
}

int main(int count, char **arguments) {
    if (count == 2 && !strcmp(arguments[1], "injection")) return injection();
    if (count == 3 && !strcmp(arguments[1], "rules")) return rules(arguments[2]);
    if (count == 3 && !strcmp(arguments[1], "requests")) return requests(arguments[2]);
    return 2;
}
