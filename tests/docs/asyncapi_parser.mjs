// Reads a document with the official parser of AsyncAPI; prints what is wrong with it, one line each.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const { Parser } = createRequire(`${process.argv[2]}/`)("@asyncapi/parser");
const { document, diagnostics } = await new Parser().parse(await readFile(process.argv[3], "utf8"));
const WARNING = 1;
const wrong = diagnostics.filter((each) => each.severity <= WARNING);
for (const { code, path, message } of wrong) console.log(code, path.join("."), message);
if (document) console.log(`${document.allMessages().length} messages`);
