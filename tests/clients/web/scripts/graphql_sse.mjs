import { createClient } from 'graphql-sse'

import { plainly } from './plainly.mjs'
import { headers, url } from './story.mjs'

const retry = () => new Promise((resolve) => setTimeout(resolve, 50))

await plainly(createClient({ url, headers, retryAttempts: Infinity, retry }))
