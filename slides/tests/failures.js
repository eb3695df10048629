// A reporter: lists what failed at the end of all the output, by name and with
// the first lines of each message.
export default async function* failures(source) {
  const failed = [];
  for await (const { type, data } of source) {
    if (type !== 'test:fail') continue;
    const { cause, message } = data.details.error;
    const words = (cause?.message ?? message).split('\n').filter(Boolean);
    failed.push([data.name, ...words.slice(0, 5)].join('\n        '));
  }
  for (const claim of failed) yield `FAILED  ${claim}\n`;
}
